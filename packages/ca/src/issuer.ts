import type { Certificate, Signer } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import type { DnsConstraints } from './dns-name.ts';
import { dnsConstraintsOf, type ServiceTemplate, serviceTemplate } from './draft.ts';
import type { CertificateProfile } from './profile/certificate-profile.ts';
import { publicationOf } from './publish/certificate-publication.ts';

/** An intermediate that can sign, with what was worked out about it once. */
export interface Issuer {
  readonly name: string;
  readonly certificate: Certificate;
  readonly signer: Signer;
  /** Of the certificate itself, not of the configuration: what verifiers are going to enforce. */
  readonly constraints: DnsConstraints;
  /** The span in which the whole chain up to the root is valid. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Name of the profile of what it signs where nothing else decides. */
  readonly profile: string | undefined;
  /** What its certificates of a profile share; one for each profile of the configuration. */
  templateOf(profile: CertificateProfile): ServiceTemplate;
  /** For the authority's own TLS certificate, which serves and dials whatever services may do. */
  readonly own: ServiceTemplate;
}

export function makeIssuer(
  name: string,
  { certificate, signer }: { readonly certificate: Certificate; readonly signer: Signer },
  root: Certificate,
  { defaultProfile, profiles, publish }: Pick<CaConfig, 'defaultProfile' | 'profiles' | 'publish'>,
): Issuer {
  const publication = publicationOf(publish, { name, certificate }, 'services');
  const ofOwn = { ...defaultProfile, extKeyUsage: ['serverAuth', 'clientAuth'] };
  const templates = new Map(
    [defaultProfile, ...profiles].map((each) => [
      each,
      serviceTemplate(certificate, each, publication),
    ]),
  );
  return {
    name,
    certificate,
    signer,
    constraints: dnsConstraintsOf(certificate),
    notBefore: Math.max(certificate.notBefore, root.notBefore),
    notAfter: Math.min(certificate.notAfter, root.notAfter),
    profile: undefined,
    templateOf(profile) {
      const template = templates.get(profile);
      if (template !== undefined) return template;
      throw new TypeError(`profile "${profile.name}" is of another configuration`);
    },
    own: serviceTemplate(certificate, ofOwn, publication),
  };
}
