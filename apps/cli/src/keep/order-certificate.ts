import type { KeyObject } from 'node:crypto';
import { type Clock, CountersignError, equalBytes, messageOf } from '@countersign/base';
import type { NamedCertificate } from '@countersign/identity';
import { parseBundleDocument, type TrustBundle, verifyPeer } from '@countersign/spiffe';
import type { AuthorityClient, BatchOrder, BatchResponse } from '@countersign/wire';
import {
  attributeOf,
  buildCertificateRequest,
  type Certificate,
  extKeyUsageName,
  formatGeneralName,
  type GeneralName,
  generateKeyPair,
  keyKindOf,
  keySigner,
  parseCertificate,
  parseIpAddress,
  spkiOf,
} from '@countersign/x509';
import type { KeptCertificate } from './kept-certificate.ts';

export interface OrderContext {
  readonly authority: Pick<AuthorityClient, 'issueBatch'>;
  /** The names of an entry that is `own`. */
  readonly ownNames: readonly GeneralName[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * A certificate as the entry wants it, by a new key or by the one of before, proved before anything relies on it.
 *
 * @throws CountersignError ERR_KEEP_REFUSED with what the authority says, ERR_KEEP_ISSUED, and what the call throws
 */
export async function orderCertificate(
  kept: KeptCertificate,
  before: NamedCertificate | undefined,
  context: OrderContext,
): Promise<NamedCertificate> {
  // 1. the key
  const privateKey = reusableKey(kept, before) ?? (await generateKeyPair(kept.keyKind)).privateKey;
  // 2. the order
  const { names, ttlMs, profile, issuer } = kept;
  const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
  const order: BatchOrder = {
    csr,
    own: names === undefined,
    dns: names?.dns ?? [],
    ip: names?.ip ?? [],
    ...(names?.spiffeId === undefined ? {} : { spiffeId: names.spiffeId }),
    ...(names?.commonName === undefined ? {} : { commonName: names.commonName }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(profile === undefined ? {} : { profile }),
    ...(issuer === undefined ? {} : { issuer }),
  };
  const { signal } = context;
  const answer = await context.authority.issueBatch({ orders: [order] }, { signal });
  // 3. proved
  return prove(kept, answer, privateKey, context);
}

/** Why a certificate is not what its entry wants; undefined where it is. */
export function wrongWith(
  kept: KeptCertificate,
  { chain: [leaf] }: NamedCertificate,
  ownNames: readonly GeneralName[],
): string | undefined {
  const found = leaf.subjectAltNames.map(formatGeneralName).sort().join(', ');
  const wanted = namesOf(kept, ownNames).map(formatGeneralName).sort().join(', ');
  if (found !== wanted) return `its names are "${found}", expected "${wanted}"`;
  const { commonName } = kept.names ?? {};
  const subject = attributeOf(leaf.subject, 'CN');
  if (commonName !== undefined && subject?.toLowerCase() !== commonName.toLowerCase()) {
    return `its common name is "${subject ?? ''}", expected "${commonName}"`;
  }
  const kind = JSON.stringify(keyKindOf(leaf.spki));
  if (kind !== JSON.stringify(kept.keyKind)) {
    return `its key is ${kind}, expected ${JSON.stringify(kept.keyKind)}`;
  }
  const missing = kept.usages.find((usage) => !isFor(leaf, usage));
  if (missing === undefined) return undefined;
  return `it is not for "${missing}"; name a profile of the authority that is`;
}

/** Why whoever trusts this bundle would refuse a certificate; undefined where they would not. */
export function wrongUnder(
  bundle: TrustBundle,
  { chain }: NamedCertificate,
  at: number,
): string | undefined {
  const verified = verifyPeer({
    chain,
    bundles: {
      bundle: (name) => (name === bundle.trustDomain ? bundle : undefined),
      authorities: () => bundle.authorities,
    },
    at,
    purpose: isFor(chain[0], 'serverAuth') ? 'server' : 'client',
    profile: 'any',
  });
  return verified.ok ? undefined : verified.detail;
}

function reusableKey(
  { rotatesKey, keyKind }: KeptCertificate,
  before: NamedCertificate | undefined,
): KeyObject | undefined {
  if (rotatesKey || before === undefined) return undefined;
  const isSame = JSON.stringify(keyKindOf(before.chain[0].spki)) === JSON.stringify(keyKind);
  return isSame ? before.privateKey : undefined;
}

function prove(
  kept: KeptCertificate,
  { results: [result], bundle: document, trustDomain }: BatchResponse,
  privateKey: KeyObject,
  { clock, ownNames }: OrderContext,
): NamedCertificate {
  if (result?.ok === false) {
    const detail = result.detail ?? `the authority refuses it, its log has id ${result.id}`;
    throw new CountersignError('ERR_KEEP_REFUSED', `order "${kept.name}": ${detail}`, {
      fields: { code: result.code, id: result.id },
    });
  }
  try {
    const [leaf, ...signers] = (result?.chain ?? []).map((der) => parseCertificate(der));
    if (leaf === undefined) throw new Error('it was not answered');
    if (!equalBytes(leaf.spki.raw, spkiOf(privateKey).raw)) throw new Error('it has another key');
    const bundle = parseBundleDocument(JSON.stringify(document), trustDomain);
    const certificate: NamedCertificate = { chain: [leaf, ...signers], privateKey, bundle };
    const wrong = wrongWith(kept, certificate, ownNames);
    if (wrong !== undefined) throw new Error(wrong);
    const refused = wrongUnder(bundle, certificate, clock.now());
    if (refused !== undefined) throw new Error(refused);
    return certificate;
  } catch (thrown) {
    const message = `check the certificate of "${kept.name}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_KEEP_ISSUED', message, { cause: thrown });
  }
}

function namesOf({ names }: KeptCertificate, ownNames: readonly GeneralName[]): GeneralName[] {
  if (names === undefined) return [...ownNames];
  const { spiffeId, dns, ip } = names;
  return [
    ...(spiffeId === undefined ? [] : [{ kind: 'uri' as const, value: spiffeId }]),
    ...dns.map((value) => ({ kind: 'dns' as const, value: value.toLowerCase() })),
    ...ip.map((text) => ({ kind: 'ip' as const, bytes: parseIpAddress(text) ?? new Uint8Array() })),
  ];
}

function isFor({ extKeyUsage }: Certificate, usage: string): boolean {
  if (extKeyUsage === undefined) return true;
  return extKeyUsage.some((each) => each === usage || extKeyUsageName(each) === usage);
}
