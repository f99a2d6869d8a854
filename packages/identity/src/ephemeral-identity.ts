import {
  type Clock,
  CountersignError,
  type Log,
  type Meter,
  messageOf,
  noMeter,
  systemClock,
} from '@countersign/base';
import { isBearerToken } from '@countersign/wire';
import {
  type Certificate,
  certificatesFromPem,
  fingerprintOf,
  type KeyKind,
} from '@countersign/x509';
import { parseAuthorityUrl } from './authority-url.ts';
import { enrol } from './enrol.ts';
import { type OfferedRoots, offeredRoots } from './learn-root.ts';
import { type LiveIdentity, liveIdentity } from './live/live-identity.ts';
import { warningLog } from './live/warning-log.ts';
import { openConnection } from './open-connection.ts';
import { defaultKeyKind, makeOwnRequest } from './own-request.ts';
import { renewOverMtls } from './renewal.ts';
import { type RotatingIdentity, startRotation } from './start-rotation.ts';

export interface EphemeralOptions {
  /** The authority: `https://HOST:PORT`. */
  readonly url: string;
  /**
   * One-time join token, or where to get one. It is asked for while the key is made and the authority's roots are read, and
   * only where this instance has no identity that still holds.
   */
  readonly token: string | (() => string | Promise<string>);
  /**
   * SHA-256 of the authority's root, where the token is a JWT of another issuer, which names none; with a `bundle` of one
   * root it may be left out.
   */
  readonly fingerprint?: string;
  /**
   * PEM of the authority's roots, such as `bundle.pem` beside the code: spares asking for them. The token's fingerprint
   * decides which of them counts in any case.
   */
  readonly bundle?: string;
  /** The SPIFFE ID that the token is expected to be for; instances of several keep several. */
  readonly spiffeId?: string;
  /** Wished lifetime; the authority's default unless given. */
  readonly ttlMs?: number;
  /** ECDSA P-256 unless given. */
  readonly keyKind?: KeyKind;
  /** For each of the calls. 15,000 unless given. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
}

/**
 * An identity for an instance that begins with nothing and ends without notice: a function, a job, a container. In memory
 * alone. Asked again, the instance answers with what it has: at once where that holds, after a renewal where it is past
 * half of its life (an instance may have been frozen meanwhile), after a new enrolment where it has ended.
 *
 * @throws CountersignError ERR_IDENTITY_TOKEN, and what `enrol` throws; a failure is not remembered
 */
export function ephemeralIdentity(options: EphemeralOptions): Promise<LiveIdentity> {
  const key = `${options.url} ${options.spiffeId ?? ''}`;
  const known = instances.get(key);
  const begun = known === undefined ? begin(options) : stillGood(known, options);
  instances.set(key, begun);
  begun.catch(() => {
    if (instances.get(key) === begun) instances.delete(key);
  });
  return begun.then(({ live }) => live);
}

interface Instance {
  readonly rotation: RotatingIdentity;
  readonly live: LiveIdentity;
}

/** Of this process. */
const instances = new Map<string, Promise<Instance>>();

async function begin(options: EphemeralOptions): Promise<Instance> {
  const { url, spiffeId, ttlMs } = options;
  const { clock = systemClock, log = warningLog, meter = noMeter } = options;
  const ttl = ttlMs === undefined ? {} : { ttlMs };
  const { timeoutMs = 15_000 } = options;
  // 1. the key is made, and the authority asked for its roots, while the token is fetched
  const offering = rootsOf(options, { timeoutMs, clock });
  const [offered, ownRequest, token] = await Promise.all([
    offering,
    makeOwnRequest(options.keyKind ?? defaultKeyKind),
    tokenOf(options),
  ]).catch((thrown: unknown) => {
    offering.then(({ connection }) => connection?.close()).catch(() => {});
    throw thrown;
  });
  // 2. the enrolment, over the connection that the roots came from
  const identity = await enrol({
    ...{ url, token, ownRequest, offered, timeoutMs, clock, ...ttl },
    ...pinOf(options, token, offered.roots),
    ...(spiffeId === undefined ? {} : { spiffeId }),
  }).finally(() => offered.connection?.close());
  // 3. fresh for as long as the instance runs
  const renew = renewOverMtls({ url, clock, ...ttl });
  const rotation = startRotation({ identity, renew, clock, log, meter });
  return { rotation, live: liveIdentity(rotation) };
}

async function stillGood(known: Promise<Instance>, options: EphemeralOptions): Promise<Instance> {
  const instance = await known.catch(() => undefined);
  if (instance === undefined) return begin(options);
  const { clock = systemClock } = options;
  const { leaf } = instance.rotation.svid();
  const now = clock.now();
  if (now < leaf.notBefore + (leaf.notAfter - leaf.notBefore) / 2) return instance;
  const renewed = await instance.rotation.renewNow().then(
    () => true,
    () => false,
  );
  if (renewed || clock.now() <= instance.rotation.svid().notAfter) return instance;
  await instance.rotation.stop();
  return begin(options);
}

/** The authority's roots, and a connection to it for what comes next. */
async function rootsOf(
  { url, bundle }: EphemeralOptions,
  { timeoutMs, clock }: { readonly timeoutMs: number; readonly clock: Clock },
): Promise<OfferedRoots> {
  const address = parseAuthorityUrl(url);
  if (bundle === undefined) return offeredRoots({ address, timeoutMs, clock });
  const roots = certificatesFromPem(bundle);
  // Where it fails, the enrolment tries again, and says why it cannot.
  const signal = AbortSignal.timeout(timeoutMs);
  const connection = await openConnection(address, { clock, signal }).catch(() => undefined);
  return { roots, ...(connection === undefined ? {} : { connection }) };
}

/** A join token names the root; for another one somebody has to. */
function pinOf(
  { fingerprint, bundle }: EphemeralOptions,
  token: string,
  offered: readonly Certificate[],
): { readonly fingerprint?: string } {
  if (fingerprint !== undefined) return { fingerprint };
  const [only, ...others] = offered;
  const isPinned = bundle !== undefined && only !== undefined && others.length === 0;
  return isPinned && isBearerToken(token) ? { fingerprint: fingerprintOf(only) } : {};
}

async function tokenOf({ token, url }: EphemeralOptions): Promise<string> {
  if (typeof token !== 'function') return textOf(token, url);
  const given: unknown = await Promise.resolve()
    .then(token)
    .catch((thrown: unknown) => {
      const message = `fetch a token for "${url}": ${messageOf(thrown)}`;
      throw new CountersignError('ERR_IDENTITY_TOKEN', message, { cause: thrown });
    });
  return textOf(given, url);
}

/** Plain JavaScript may hand over anything, and a token of another service looks like one. Nothing of it is in the error. */
function textOf(token: unknown, url: string): string {
  const kinds = 'expected the text of a join token ("cst1.…") or of a JWT';
  if (typeof token !== 'string') throw unfit(url, `it is ${kindOf(token)}, ${kinds}`);
  const text = token.trim();
  if (text === '') throw unfit(url, `it is empty, ${kinds}`);
  if (text.startsWith('cst1.') || isBearerToken(text)) return text;
  throw unfit(url, `it is neither a join token nor a JWT, ${kinds}`);
}

function kindOf(value: unknown): string {
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  return `an object (${value.constructor?.name ?? 'without a class'})`;
}

function unfit(url: string, why: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_TOKEN', `token for "${url}": ${why}`);
}
