import type { KeyObject } from 'node:crypto';
import { type Clock, CountersignError, type Log, type Meter, messageOf } from '@countersign/base';
import { makeBundle, parseSpiffeId } from '@countersign/spiffe';
import type { KeyKind } from '@countersign/x509';
import type { FetchBundle } from '../follow-bundle.ts';
import type { Identity } from '../identity.ts';
import { prepareIdentityDirectory, readIdentity, writeIdentity } from '../identity-files.ts';
import { keepIssued } from '../keep-issued.ts';
import { defaultKeyKind } from '../own-request.ts';
import { proveIdentity, proveIssued } from '../prove-issued.ts';
import { type NamedCertificate, proveNamedCertificate } from '../prove-named-certificate.ts';
import { proveSameHolder } from '../prove-same-holder.ts';
import type { Renew } from '../renewal.ts';
import { type RotatingIdentity, type RotationOptions, startRotation } from '../start-rotation.ts';
import { askIssuer } from './ask-issuer.ts';
import type { CertificateNames, Issuer, RootsSource } from './issuer.ts';
import { longerThanAsked } from './longer-than-asked.ts';
import { generalNamesOf, makeNamedRequest, namesText } from './named-request.ts';

export interface OrderOptions {
  readonly issuer: Issuer;
  readonly names: CertificateNames;
  /** Who is trusted; the roots that the issuer's answer names unless given. */
  readonly roots?: RootsSource | undefined;
  /** Wished lifetime; the issuer's default unless given. */
  readonly ttlMs?: number | undefined;
  readonly clock: Clock;
}

export interface OpenIssuedOptions
  extends OrderOptions,
    Pick<RotationOptions, 'fraction' | 'jitter' | 'backoff' | 'onSwap' | 'random'> {
  /** With a SPIFFE ID: the adapters, and whoever they talk to, know each other by that. */
  readonly names: CertificateNames & { readonly spiffeId: string };
  /** ECDSA P-256 unless given. */
  readonly keyKind?: KeyKind | undefined;
  /** Where the identity is kept, so that a restart needs no issuer. Absent: memory alone. */
  readonly directory?: string | undefined;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal?: AbortSignal | undefined;
}

/**
 * An identity of somebody else's authority, kept fresh as one of ours is. What `directory` has is used while it holds, is
 * of these names and leads to these roots; else one is ordered at once. An identity of another SPIFFE ID is left alone.
 *
 * @throws CountersignError ERR_ISSUER_*, ERR_IDENTITY_RESPONSE, ERR_IDENTITY_FILES, ERR_DESTINATION
 */
export async function openIssued(options: OpenIssuedOptions): Promise<RotatingIdentity> {
  const { issuer, directory, clock, log, meter, fraction, jitter, backoff, onSwap, random } =
    options;
  parseSpiffeId(options.names.spiffeId);
  // 1. what is there, unless it is somebody else's
  if (directory !== undefined) await proveSameHolder(directory, options.names.spiffeId, wayOut);
  const held = await heldIdentity(options);
  // 2. or a first one
  const identity = held ?? (await orderIdentity(options));
  // 3. kept fresh
  const rotation = startRotation({
    ...{ identity, renew: renewAtIssuer(options), clock, log, meter },
    // An issuer asks for no certificate of before: one that has ended is renewed like any other.
    reEnrol: renewAtIssuer(options),
    ...(held === undefined && { obtainedAt: clock.now() }),
    ...(directory !== undefined && { directory }),
    ...(fraction !== undefined && { fraction }),
    ...(jitter !== undefined && { jitter }),
    ...(backoff !== undefined && { backoff }),
    ...(onSwap !== undefined && { onSwap }),
    ...(random !== undefined && { random }),
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  // 4. a lifetime that was not asked for is taken, and told of
  let looked: string | undefined;
  let longer: string | undefined;
  const look = () => {
    const { spiffeId, serialHex: serial, leaf } = rotation.svid();
    if (looked === serial) return;
    looked = serial;
    longer = longerThanAsked(leaf, options.ttlMs);
    if (longer === undefined) return;
    log.warn({ spiffeId: `${spiffeId}`, serial }, `certificate of ${issuer.title}: ${longer}`);
  };
  look();
  rotation.onChange(look);
  return {
    get identity() {
      return rotation.identity;
    },
    svid: () => rotation.svid(),
    bundle: (trustDomain) => rotation.bundle(trustDomain),
    authorities: () => rotation.authorities?.() ?? [],
    onChange: (listener) => rotation.onChange(listener),
    stats: () => ({
      ...rotation.stats(),
      ...(longer === undefined ? {} : { longerThanAsked: longer }),
    }),
    renewNow: () => rotation.renewNow(),
    async stop() {
      await rotation.stop();
      issuer.close?.();
    },
  };
}

const wayOut =
  'choose another directory, or move that one away where its identity is not needed any more';

/** Has requests for the same names signed by an issuer. */
export function renewAtIssuer(options: OrderOptions): Renew {
  const { issuer, names, ttlMs, roots } = options;
  const trust = { roots, trustDomain: trustDomainOf(names) };
  const renew: Renew = ({ current, csr, signal }) =>
    askIssuer(issuer, { names, csr, ttlMs, held: namedOf(current), signal }, trust);
  return Object.assign(renew, {
    makeRequest: (kind: KeyKind) => makeNamedRequest(kind, requestedOf(issuer, names)),
    ...(roots === undefined ? {} : { fetchBundle: bundleOf(roots, trust.trustDomain) }),
    ...(issuer.renewalWish === undefined
      ? {}
      : {
          renewalWish: async (current: Identity, signal: AbortSignal) =>
            await issuer.renewalWish?.(namedOf(current), signal),
        }),
  });
}

/**
 * A certificate of any names, by a new key, proved.
 *
 * @throws CountersignError ERR_ISSUER_*, ERR_IDENTITY_RESPONSE
 */
export async function orderNamed(
  options: OrderOptions & {
    readonly keyKind: KeyKind;
    /** A key that is kept through renewals; a new one of `keyKind` unless given. */
    readonly privateKey?: KeyObject | undefined;
    readonly held?: NamedCertificate | undefined;
    readonly signal: AbortSignal;
  },
): Promise<NamedCertificate> {
  const { issuer, names, ttlMs, roots, clock, held, signal } = options;
  const { privateKey, csr } = await makeNamedRequest(options.keyKind, requestedOf(issuer, names));
  const trust = { roots, trustDomain: trustDomainOf(names) };
  const response = await askIssuer(issuer, { names, csr, ttlMs, held, signal }, trust);
  return proveNamedCertificate({ response, privateKey, clock });
}

/** Of the SPIFFE ID; of a certificate without one, its first DNS name stands for it. */
export function trustDomainOf({ spiffeId, dns: [first] }: CertificateNames): string {
  if (spiffeId !== undefined) return parseSpiffeId(spiffeId).trustDomain;
  return first?.replace(/^\*\./, '').toLowerCase() ?? 'issuer.invalid';
}

function requestedOf(issuer: Issuer, names: CertificateNames): CertificateNames {
  return issuer.namesInRequest?.(names) ?? names;
}

async function orderIdentity(options: OpenIssuedOptions): Promise<Identity> {
  const { issuer, names, ttlMs, roots, clock, directory } = options;
  const signal = options.signal ?? new AbortController().signal;
  const place = directory === undefined ? undefined : await prepareIdentityDirectory(directory);
  try {
    const { privateKey, csr } = await makeNamedRequest(
      options.keyKind ?? defaultKeyKind,
      requestedOf(issuer, names),
    );
    const trust = { roots, trustDomain: trustDomainOf(names) };
    const response = await askIssuer(issuer, { names, csr, ttlMs, signal }, trust);
    const identity = proveIssued({ response, privateKey, clock, spiffeId: names.spiffeId });
    if (directory !== undefined) {
      const { serialHex } = identity.svid;
      await keepIssued(serialHex, 'order', () => writeIdentity(directory, identity));
    }
    return identity;
  } catch (thrown) {
    await place?.giveUp();
    throw thrown;
  }
}

/** What a process before this one left, unless it would have to be replaced at once. */
async function heldIdentity(options: OpenIssuedOptions): Promise<Identity | undefined> {
  const { directory, names, roots, clock, log } = options;
  if (directory === undefined) return undefined;
  try {
    const found = await readIdentity(directory);
    const { trustDomain } = found.bundle;
    const authorities = await roots?.();
    const identity =
      authorities === undefined
        ? found
        : { ...found, bundle: makeBundle(trustDomain, authorities) };
    const wanted = namesText(generalNamesOf(names));
    const has = namesText(found.svid.leaf.subjectAltNames);
    if (has !== wanted) throw new Error(`its names are "${has}", wanted are "${wanted}"`);
    const proof = proveIdentity(identity, clock.now());
    if (!proof.ok) throw new Error(proof.detail);
    return identity;
  } catch (thrown) {
    if (thrown instanceof CountersignError && thrown.code === 'ERR_ISSUER_ROOT') throw thrown;
    log.info({ directory, reason: messageOf(thrown) }, 'no identity to go on with: one is ordered');
    return undefined;
  }
}

/** The roots of a file change when somebody changes the file: looked at as often as a bundle is. */
function bundleOf(roots: RootsSource, trustDomain: string): FetchBundle {
  return async () => makeBundle(trustDomain, await roots());
}

function namedOf({ svid, bundle }: Identity): NamedCertificate {
  return { chain: svid.chain, privateKey: svid.privateKey, bundle };
}
