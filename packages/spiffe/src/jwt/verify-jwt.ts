import { type Denial, denial } from '@countersign/base';
import type { VerifyingKey } from './jwks.ts';
import { fitsKey, type JwsAlgorithm, verifyJws } from './jws-algorithms.ts';
import type { JwtClaims } from './jwt-svid.ts';
import type { UnverifiedJwt } from './read-jwt.ts';

const minted = Symbol('verified JWT');

/** Evidence that a token was signed by a key that its verifier was given, and is valid. */
export class VerifiedJwt {
  readonly claims: JwtClaims;
  readonly #verified = true;

  constructor(evidence: typeof minted, claims: JwtClaims) {
    if (evidence !== minted) throw new TypeError('a VerifiedJwt is made by verifyJwt only');
    this.claims = claims;
  }

  /** Whether a value is this evidence, and not something that only looks like it. */
  static is(value: unknown): value is VerifiedJwt {
    return typeof value === 'object' && value !== null && #verified in value;
  }
}

export interface JwtDemand {
  readonly keys: readonly VerifyingKey[];
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Undefined: any. */
  readonly issuer?: string | undefined;
  /** One of them has to be in the token's; empty: the token must have none. */
  readonly audiences?: readonly string[] | undefined;
  /** Whether a token without an end is taken; refused unless so. */
  readonly takesEndless?: boolean | undefined;
  readonly expiryLeewayMs?: number | undefined;
  readonly beginLeewayMs?: number | undefined;
}

/** Clocks may differ by so much, unless a demand says otherwise. */
const usualLeewayMs = 60_000;

/** Whether a key of that kind and id is among those given; where not, they may be out of date. */
export function hasKeyFor(
  { keyId, algorithm }: UnverifiedJwt,
  keys: readonly VerifyingKey[],
): boolean {
  return keys.some((each) => isCandidate(each, keyId, algorithm));
}

/**
 * The key decides the algorithm; what a token's header says must only agree.
 *
 * Denials: ERR_JWT_KEY, ERR_JWT_SIGNATURE, ERR_JWT_EXPIRED, ERR_JWT_NOT_YET_VALID, ERR_JWT_AUDIENCE, ERR_JWT_FORM.
 */
export function verifyJwt(
  token: UnverifiedJwt,
  demand: JwtDemand,
): { readonly ok: true; readonly jwt: VerifiedJwt } | Denial {
  // 1. By which key.
  const { algorithm, keyId, signed, signature, claims } = token;
  const candidates = demand.keys.filter((each) => isCandidate(each, keyId, algorithm));
  if (candidates.length === 0) {
    const sides = `names key "${keyId?.slice(0, 80) ?? 'none'}" for ${algorithm.name}, no key of ${demand.keys.length} is such`;
    return denial('ERR_JWT_KEY', `token ${sides}`);
  }
  if (!candidates.some(({ key }) => verifyJws(algorithm, key, signed, signature))) {
    return denial(
      'ERR_JWT_SIGNATURE',
      `token has a signature that no key "${keyId?.slice(0, 80) ?? ''}" made`,
    );
  }

  // 2. When.
  const { exp, nbf, iss, aud } = claims;
  const { at, expiryLeewayMs = usualLeewayMs, beginLeewayMs = usualLeewayMs } = demand;
  // A token without an end would be good for ever.
  const isEndless = exp === undefined && demand.takesEndless === true;
  if (!isEndless && (typeof exp !== 'number' || !Number.isFinite(exp)))
    return denial('ERR_JWT_FORM', 'token has no "exp"');
  if (typeof exp === 'number' && at >= exp * 1000 + expiryLeewayMs) {
    return denial('ERR_JWT_EXPIRED', `token ended at ${time(exp)}, it is now ${time(at / 1000)}`);
  }
  if (typeof nbf === 'number' && at < nbf * 1000 - beginLeewayMs) {
    return denial(
      'ERR_JWT_NOT_YET_VALID',
      `token is valid from ${time(nbf)}, it is now ${time(at / 1000)}`,
    );
  }

  // 3. By whom, and for whom.
  if (demand.issuer !== undefined && iss !== demand.issuer) {
    return denial(
      'ERR_JWT_FORM',
      `token is by "${String(iss).slice(0, 200)}", expected "${demand.issuer}"`,
    );
  }
  const audiences = aud === undefined ? [] : [aud].flat().map(String);
  const { audiences: wanted } = demand;
  if (wanted !== undefined && !isFor(audiences, wanted)) {
    const sides = `is for "${audiences.join('", "').slice(0, 300)}", expected "${wanted.join('" or "')}"`;
    return denial('ERR_JWT_AUDIENCE', `token ${sides}`);
  }
  return { ok: true, jwt: new VerifiedJwt(minted, claims) };
}

function isCandidate(
  each: VerifyingKey,
  keyId: string | undefined,
  algorithm: JwsAlgorithm,
): boolean {
  const isNamed = keyId === undefined || each.keyId === undefined || each.keyId === keyId;
  // RFC 7517 §4.4: the algorithm that the key is meant for, where it says so.
  const isMeant = each.algorithm === undefined || each.algorithm === algorithm.name;
  return isNamed && isMeant && fitsKey(algorithm, each.key);
}

function isFor(audiences: readonly string[], wanted: readonly string[]): boolean {
  if (wanted.length === 0) return audiences.length === 0;
  return audiences.some((each) => wanted.includes(each));
}

function time(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
}
