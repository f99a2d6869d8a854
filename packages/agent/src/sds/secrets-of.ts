import { hash } from 'node:crypto';
import type { TrustBundle } from '@countersign/spiffe';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import type { HeldIdentities, HeldIdentity, Holdings } from '../svids/held-identities.ts';
import { type EnvoyNode, type Secret, sdsMessages, spiffeValidatorType } from './sds-messages.ts';

/** Names that stand for something, beside SPIFFE IDs of workloads and of trust domains. */
export const secretNames = {
  /** The first identity. */
  svid: 'default',
  /** The validation context of the own trust domain. */
  bundle: 'ROOTCA',
  /** One of all trust domains that the workload knows. */
  allBundles: 'ALL',
} as const;

export interface NamedSecret {
  readonly name: string;
  /** Of the content: the same content has the same version, also after a restart. */
  readonly version: string;
  /** The encoded Secret. */
  readonly bytes: Uint8Array;
}

export interface SecretsAsked {
  /** Undefined: everything there is. */
  readonly names: ReadonlySet<string> | undefined;
  readonly node: EnvoyNode | undefined;
}

/** The secrets of these names as far as the holdings have them, in the order of the names. */
export function secretsOf(
  { names, node }: SecretsAsked,
  held: Holdings,
  identities: HeldIdentities,
): readonly NamedSecret[] {
  const makers = makersFor(held, validatesSpiffe(node));
  const asked = names ?? everything(held);
  return [...asked].flatMap((name) => {
    const make = makers.get(name);
    if (make === undefined) return [];
    const kind = `sds ${validatesSpiffe(node)} ${name}`;
    const bytes = identities.written(kind, held.key, () => sdsMessages.secret.encode(make(name)));
    return [{ name, version: hash('sha256', bytes).slice(0, 16), bytes }];
  });
}

type MakeSecret = (name: string) => Secret;

function makersFor(held: Holdings, spiffe: boolean): ReadonlyMap<string, MakeSecret> {
  const { own, identities } = held;
  const foreign = provingOf(held);
  const makers = new Map<string, MakeSecret>();
  const [first] = identities;
  if (first !== undefined) makers.set(secretNames.svid, (name) => certificateOf(name, first));
  for (const identity of identities) {
    const id = identity.entry.spiffeId;
    // Of two entries with one SPIFFE ID the first is meant, as everywhere.
    if (!makers.has(id)) makers.set(id, (name) => certificateOf(name, identity));
  }
  const contextOf = spiffe ? spiffeContext : authoritiesContext;
  makers.set(secretNames.bundle, (name) => contextOf(name, [own]));
  makers.set(secretNames.allBundles, (name) => spiffeContext(name, [own, ...foreign]));
  for (const bundle of [own, ...foreign]) {
    makers.set(`spiffe://${bundle.trustDomain}`, (name) => contextOf(name, [bundle]));
  }
  return makers;
}

function everything(held: Holdings): ReadonlySet<string> {
  const { own, identities } = held;
  return new Set([
    ...[own, ...provingOf(held)].map((bundle) => `spiffe://${bundle.trustDomain}`),
    ...identities.map(({ entry }) => entry.spiffeId),
  ]);
}

/** Foreign trust domains that prove certificates; others have keys for tokens alone. */
function provingOf({ foreign }: Holdings): readonly TrustBundle[] {
  return foreign.filter(({ authorities }) => authorities.length > 0);
}

/** Since 1.18 Envoy checks SPIFFE IDs against the bundle of their own trust domain, where it is told to. */
function validatesSpiffe(node: EnvoyNode | undefined): boolean {
  const { majorNumber = 0, minorNumber = 0 } = node?.userAgentBuildVersion?.version ?? {};
  return majorNumber > 1 || (majorNumber === 1 && minorNumber >= 18);
}

function certificateOf(name: string, { svid }: HeldIdentity): Secret {
  return {
    name,
    tlsCertificate: {
      certificateChain: { inlineBytes: pemOf(svid.chain) },
      privateKey: { inlineBytes: Buffer.from(encodePrivateKey(svid.privateKey)) },
    },
  };
}

function authoritiesContext(name: string, bundles: readonly TrustBundle[]): Secret {
  const authorities = bundles.flatMap((bundle) => bundle.authorities);
  return { name, validationContext: { trustedCa: { inlineBytes: pemOf(authorities) } } };
}

function spiffeContext(name: string, bundles: readonly TrustBundle[]): Secret {
  const value = sdsMessages.spiffeValidator.encode({
    trustDomains: [...bundles]
      .sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
      .map(({ trustDomain, authorities }) => ({
        name: trustDomain,
        trustBundle: { inlineBytes: pemOf(authorities) },
      })),
  });
  const typedConfig = { typeUrl: spiffeValidatorType, value };
  const customValidatorConfig = { name: 'envoy.tls.cert_validator.spiffe', typedConfig };
  return { name, validationContext: { customValidatorConfig } };
}

function pemOf(certificates: readonly { readonly raw: Uint8Array }[]): Uint8Array {
  return Buffer.from(certificates.map((each) => encodePem('CERTIFICATE', each.raw)).join(''));
}
