import type { Certificate, Signer } from '@countersign/x509';
import type { ServiceConfig } from './ca-config.ts';
import type { DnsConstraints } from './dns-name.ts';
import { dnsConstraintsOf, type ServiceTemplate, serviceTemplate } from './draft.ts';

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
  readonly services: ServiceTemplate;
  /** For the authority's own TLS certificate, which serves and dials whatever services may do. */
  readonly own: ServiceTemplate;
}

export function makeIssuer(
  name: string,
  { certificate, signer }: { readonly certificate: Certificate; readonly signer: Signer },
  root: Certificate,
  services: ServiceConfig,
): Issuer {
  return {
    name,
    certificate,
    signer,
    constraints: dnsConstraintsOf(certificate),
    notBefore: Math.max(certificate.notBefore, root.notBefore),
    notAfter: Math.min(certificate.notAfter, root.notAfter),
    services: serviceTemplate(certificate, services),
    own: serviceTemplate(certificate, { ...services, extKeyUsage: ['serverAuth', 'clientAuth'] }),
  };
}
