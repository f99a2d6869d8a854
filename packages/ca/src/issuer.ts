import type { Certificate, NameConstraints, Signer } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import { constraintsOf } from './constraints/name-constraints.ts';
import { type ServiceTemplate, serviceTemplate } from './draft.ts';
import type { CertificateProfile } from './profile/certificate-profile.ts';
import { NarrowedTemplates, type UsageWish } from './profile/narrow-usages.ts';
import { type Publication, publicationOf } from './publish/certificate-publication.ts';

/** An intermediate with its key. */
export interface SigningPair {
  readonly name: string;
  readonly certificate: Certificate;
  readonly signer: Signer;
  /** As the ledger calls its key; the name unless given, which is the first key's. */
  readonly ledgerName?: string | undefined;
  /** Certificates that go behind its chain, for those who trust an older root alone. Default none. */
  readonly behind?: readonly Certificate[] | undefined;
}

/** An intermediate that can sign, with what was worked out about it once. */
export interface Issuer extends SigningPair {
  readonly ledgerName: string;
  /** Its own certificate first, then those above it, without the root. */
  readonly chain: readonly Certificate[];
  /** DER of the chain. */
  readonly chainDer: readonly [Uint8Array, ...Uint8Array[]];
  /**
   * The constraints of the chain, its own first. Of the certificates themselves, not of the configuration: what
   * verifiers are going to enforce.
   */
  readonly links: readonly NameConstraints[];
  /** The span in which the whole chain up to the root is valid. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Dotted OIDs that it asserts, and may be asserted below it. */
  readonly policies: readonly string[];
  /** Whether it signs certificates of services; those that issue intermediates do not. */
  readonly signsServices: boolean;
  /** Name of the profile of what it signs where nothing else decides. */
  readonly profile: string | undefined;
  /** What its certificates of a profile share; one for each profile of the configuration. */
  templateOf(profile: CertificateProfile, usages?: UsageWish): ServiceTemplate;
  /** For the authority's own TLS certificate, which serves and dials whatever services may do. */
  readonly own: ServiceTemplate;
}

type IssuerConfig = Pick<CaConfig, 'intermediates' | 'defaultProfile' | 'profiles' | 'publish'>;

/** All intermediates of a hierarchy, in the order given. */
export function makeIssuers(
  pairs: readonly SigningPair[],
  root: Certificate,
  config: IssuerConfig,
): Issuer[] {
  const chainOf = (name: string): readonly Certificate[] => {
    const pair = pairs.find((each) => each.name === name);
    const above = config.intermediates.find((each) => each.name === name)?.issuer ?? 'root';
    return pair === undefined ? [] : [pair.certificate, ...chainOf(above)];
  };
  return pairs.map((pair) => makeIssuer(pair, chainOf(pair.name), root, config));
}

/** `chain`: its own certificate first. `named`: what its certificates name instead of what the configuration says. */
export function makeIssuer(
  { name, certificate, signer, ledgerName = name, behind = [] }: SigningPair,
  chain: readonly Certificate[],
  root: Certificate,
  { intermediates, defaultProfile, profiles, publish }: IssuerConfig,
  named?: Publication,
): Issuer {
  const configured = intermediates.find((each) => each.name === name);
  const publication = named ?? publicationOf(publish, { name, certificate }, 'services');
  const links = chain.map(constraintsOf);
  const authority = { certificate, links };
  const ofOwn = { ...defaultProfile, extKeyUsage: ['serverAuth', 'clientAuth'] };
  const templates = new Map(
    [defaultProfile, ...profiles].map((each) => [
      each,
      serviceTemplate(authority, each, publication),
    ]),
  );
  const narrowed = new NarrowedTemplates((each) => serviceTemplate(authority, each, publication));
  const all = [...chain, root];
  return {
    name,
    ledgerName,
    certificate,
    signer,
    behind,
    chain,
    chainDer: [certificate.raw, ...[...chain.slice(1), ...behind].map(({ raw }) => raw)],
    links,
    notBefore: Math.max(...all.map((each) => each.notBefore)),
    notAfter: Math.min(...all.map((each) => each.notAfter)),
    policies: (certificate.certificatePolicies ?? []).map(({ oid }) => oid),
    signsServices: configured?.signsServices ?? true,
    profile: configured?.profile,
    templateOf(profile, usages) {
      const template = templates.get(profile);
      if (template !== undefined && usages === undefined) return template;
      if (template !== undefined && usages !== undefined) return narrowed.of(profile, usages);
      throw new TypeError(`profile "${profile.name}" is of another configuration`);
    },
    own: serviceTemplate(authority, ofOwn, publication),
  };
}
