import { createPublicKey, type KeyObject } from 'node:crypto';
import { type Denial, denial, messageOf } from '@countersign/base';
import type { BundleSource } from '../sources.ts';
import { type SpiffeId, spiffeIdOf } from '../spiffe-id.ts';
import type { PublicJwk, TrustBundle } from '../trust-bundle.ts';
import { fitsKey, type JwsAlgorithm, jwsAlgorithm, verifyJws } from './jws-algorithms.ts';

export type JwtClaims = Readonly<Record<string, unknown>>;

/** What a token says of itself; nothing of it is proved. */
export interface UnverifiedJwtSvid {
  readonly spiffeId: SpiffeId;
  readonly audience: readonly string[];
  /** When it ends, in milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly claims: JwtClaims;
  readonly keyId: string;
  readonly algorithm: JwsAlgorithm;
  /** What the signature is over. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

const minted = Symbol('verified JWT-SVID');

/** Evidence that a token was issued by the authority of its trust domain for this audience, and is valid. */
export class JwtSvid {
  readonly spiffeId: SpiffeId;
  readonly audience: readonly string[];
  readonly expiresAt: number;
  readonly claims: JwtClaims;
  readonly #verified = true;

  constructor(evidence: typeof minted, token: UnverifiedJwtSvid) {
    if (evidence !== minted) throw new TypeError('a JwtSvid is made by verifyJwtSvid only');
    this.spiffeId = token.spiffeId;
    this.audience = token.audience;
    this.expiresAt = token.expiresAt;
    this.claims = token.claims;
  }

  /** Whether a value is this evidence, and not something that only looks like it. */
  static is(value: unknown): value is JwtSvid {
    return typeof value === 'object' && value !== null && #verified in value;
  }
}

export interface JwtVerification {
  readonly token: string;
  /** Who verifies: the token must be meant for at least one of these names. */
  readonly audience: readonly string[];
  readonly bundles: BundleSource;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Longer tokens are nobody's of ours. */
const maxTokenLength = 32 * 1024;
/** Whoever issued it has a clock too, which may be ahead. */
const skewMs = 60_000;

/**
 * Who the bearer of a token is, proved, or why not (JWT-SVID §5). Never throws on what a stranger sent. No token is in
 * any message.
 *
 * Denials: ERR_JWT_*.
 */
export function verifyJwtSvid(
  input: JwtVerification,
): { readonly ok: true; readonly svid: JwtSvid } | Denial {
  // 1. what it says
  const read = readJwtSvid(input.token);
  if (!read.ok) return read;
  const { token } = read;
  // 2. a key of its own trust domain's bundle, by its kid
  const bundle = input.bundles.bundle(token.spiffeId.trustDomain);
  if (bundle === undefined || bundle.trustDomain !== token.spiffeId.trustDomain) {
    const sides = `is of trust domain "${token.spiffeId.trustDomain}", for which there is no bundle`;
    return refuse(token, 'ERR_JWT_TRUST_DOMAIN', sides);
  }
  const key = keyOf(token, bundle);
  if (!key.ok) return key;
  // 3. the signature, over the very octets that were read
  if (!verifyJws(token.algorithm, key.key, token.signed, token.signature)) {
    return refuse(
      token,
      'ERR_JWT_SIGNATURE',
      `has a signature that key "${token.keyId}" did not make`,
    );
  }
  // 4. when, and for whom
  const untimely = wrongWithTime(token, input.at);
  if (untimely !== undefined) return untimely;
  // JWT-SVID §3.2: the verifier's own name must be among its audience.
  if (!token.audience.some((name) => input.audience.includes(name))) {
    const sides = `is for "${token.audience.join('", "')}", expected "${input.audience.join('" or "')}"`;
    return refuse(token, 'ERR_JWT_AUDIENCE', sides);
  }
  return { ok: true, svid: new JwtSvid(minted, token) };
}

/** Reads a token and proves nothing. Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM. */
export function readJwtSvid(
  text: string,
): { readonly ok: true; readonly token: UnverifiedJwtSvid } | Denial {
  if (text.length > maxTokenLength) {
    return form(`has ${text.length} characters, at most ${maxTokenLength} are read`);
  }
  const parts = text.split('.');
  const [head = '', body = '', tail = ''] = parts;
  if (parts.length !== 3) return form(`has ${parts.length} parts, a JWS has three`);
  const header = objectOf(head);
  const claims = objectOf(body);
  const signature = octetsOf(tail);
  if (header === undefined) return form('has a header that is no JSON object in base64url');
  if (claims === undefined) return form('has a payload that is no JSON object in base64url');
  if (signature === undefined || signature.byteLength === 0) return form('has no signature');
  // JWT-SVID §2.1: alg from the list, typ JWT or JOSE where there is one, and a kid to choose the key by.
  const algorithm = jwsAlgorithm(header.alg);
  if (algorithm === undefined) {
    const found = JSON.stringify(header.alg)?.slice(0, 40);
    return denial('ERR_JWT_ALGORITHM', `token is signed with ${found ?? 'no "alg"'}`);
  }
  const { typ, kid, crit } = header;
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') return form('has a foreign "typ"');
  // RFC 7515 §4.1.11: what must be understood and is not.
  if (crit !== undefined) return form('has "crit" in its header, of which nothing is understood');
  if (typeof kid !== 'string' || kid === '') return form('has no "kid" in its header');
  const spiffeId = typeof claims.sub === 'string' ? spiffeIdOf(claims.sub) : undefined;
  if (spiffeId === undefined || spiffeId.path === '') return form('has no SPIFFE ID as "sub"');
  const audience = audienceOf(claims.aud);
  if (audience === undefined) return form('has no "aud"');
  const { exp } = claims;
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return form('has no "exp"');
  const token = {
    ...{ spiffeId, audience, expiresAt: exp * 1000, claims, keyId: kid, algorithm, signature },
    signed: `${head}.${body}`,
  };
  return { ok: true, token };
}

function keyOf(
  token: UnverifiedJwtSvid,
  { jwtKeys = [] }: TrustBundle,
): { readonly ok: true; readonly key: KeyObject } | Denial {
  const { keyId, algorithm } = token;
  const jwk = jwtKeys.find((each) => each.kid === keyId);
  if (jwk === undefined) {
    const sides = `names key "${keyId.slice(0, 80)}", its bundle has ${jwtKeys.length} other keys`;
    return refuse(token, 'ERR_JWT_KEY', sides);
  }
  const key = publicKeyOf(jwk);
  if (!(key instanceof Error) && fitsKey(algorithm, key)) return { ok: true, key };
  const why = key instanceof Error ? messageOf(key) : 'is of another type';
  const sides = `is signed with ${algorithm.name}, key "${keyId.slice(0, 80)}" ${why}`;
  return refuse(token, 'ERR_JWT_ALGORITHM', sides);
}

const known = new WeakMap<PublicJwk, KeyObject>();

function publicKeyOf(jwk: PublicJwk): KeyObject | Error {
  const held = known.get(jwk);
  if (held !== undefined) return held;
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    known.set(jwk, key);
    return key;
  } catch (thrown) {
    return new Error(`cannot be read: ${messageOf(thrown)}`);
  }
}

function wrongWithTime(token: UnverifiedJwtSvid, at: number): Denial | undefined {
  const { expiresAt, claims } = token;
  if (at >= expiresAt) {
    return refuse(token, 'ERR_JWT_EXPIRED', `ended at ${time(expiresAt)}, it is now ${time(at)}`);
  }
  const begins = claims.nbf;
  if (typeof begins === 'number' && at < begins * 1000 - skewMs) {
    const sides = `is valid from ${time(begins * 1000)}, it is now ${time(at)}`;
    return refuse(token, 'ERR_JWT_NOT_YET_VALID', sides);
  }
  return undefined;
}

function audienceOf(aud: unknown): readonly string[] | undefined {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  const names = list.filter((each): each is string => typeof each === 'string' && each !== '');
  return names.length === list.length && names.length > 0 ? names : undefined;
}

function objectOf(part: string): JwtClaims | undefined {
  const octets = octetsOf(part);
  if (octets === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(octets));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as JwtClaims) : undefined;
  } catch {
    return undefined;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

// RFC 7515 §2: base64url without padding; one spelling of each value, so that nothing is signed in two.
function octetsOf(part: string): Uint8Array | undefined {
  const octets = Buffer.from(part, 'base64url');
  return octets.toString('base64url') === part ? octets : undefined;
}

function form(reason: string): Denial {
  return denial('ERR_JWT_FORM', `token ${reason}`);
}

function refuse(
  { spiffeId, keyId }: UnverifiedJwtSvid,
  code: Denial['code'],
  reason: string,
): Denial {
  const fields = { spiffeId: spiffeId.toString(), kid: keyId.slice(0, 80) };
  return denial(code, `token of "${spiffeId}" ${reason}`, fields);
}

function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
