import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';

/** Keys that tokens are verified with, as they are now. */
export interface KeySource {
  keys(): readonly VerifyingKey[];
  /** Asks for newer ones, for a key that is not among these. @returns whether there may be */
  lookAgain?(): Promise<boolean>;
  stop?(): void;
}

export interface VerifyingKey {
  readonly kid: string | undefined;
  readonly key: KeyObject;
  readonly row: AlgorithmRow;
}

interface AlgorithmRow {
  /** RFC 7518 §3.1, RFC 8037 §3.1. */
  readonly alg: string;
  readonly hash: string | null;
  readonly options: object;
  readonly kind: string;
  readonly curve?: string;
}

const algorithms: readonly AlgorithmRow[] = [
  { alg: 'RS256', kind: 'rsa', hash: 'sha256', options: {} },
  { alg: 'ES256', kind: 'ec', curve: 'prime256v1', hash: 'sha256', options: ieee() },
  { alg: 'ES384', kind: 'ec', curve: 'secp384r1', hash: 'sha384', options: ieee() },
  { alg: 'EdDSA', kind: 'ed25519', hash: null, options: {} },
];

/** Keys of one set. */
const maxKeys = 100;
/** RFC 7518 §3.3. */
const minRsaBits = 2048;

type Jwk = webcrypto.JsonWebKey & { readonly kid?: string; readonly use?: string };

/**
 * Reads a JWKS: the keys of it that sign. Those of kinds that are not known here, and those that are none, are passed
 * over (RFC 7517 §5), so that an issuer may add some.
 *
 * @throws CountersignError ERR_ROUTER_JWKS
 */
export function readKeySet(jwks: string): VerifyingKey[] {
  const found = keysOf(jwks).flatMap((jwk) => verifyingKey(jwk) ?? []);
  if (found.length > 0) return found;
  throw new CountersignError('ERR_ROUTER_JWKS', 'the JWKS has no key that signs');
}

function keysOf(jwks: string): readonly Jwk[] {
  try {
    const { keys } = JSON.parse(jwks) as { readonly keys: readonly Jwk[] };
    if (keys.length > maxKeys) throw new TypeError(`${keys.length} keys, at most ${maxKeys}`);
    return [...keys];
  } catch (thrown) {
    const message = `the JWKS cannot be read: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ROUTER_JWKS', message, { cause: thrown });
  }
}

function verifyingKey(jwk: Jwk): VerifyingKey | undefined {
  const { kid, kty, use, alg } = Object(jwk) as Jwk;
  if (use !== undefined && use !== 'sig') return undefined;
  // A symmetric key would let everybody who can verify a token make one.
  if (kty === 'oct') return undefined;
  const key = publicKey(jwk);
  const { namedCurve, modulusLength = minRsaBits } = key?.asymmetricKeyDetails ?? {};
  const row = algorithms.find(
    (each) => each.kind === key?.asymmetricKeyType && each.curve === namedCurve,
  );
  if (key === undefined || row === undefined || modulusLength < minRsaBits) return undefined;
  // RFC 7517 §4.4: what is meant for another algorithm is not used for this one.
  return alg !== undefined && alg !== row.alg ? undefined : { kid, key, row };
}

function publicKey(jwk: Jwk): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function ieee(): object {
  return { dsaEncoding: 'ieee-p1363' };
}
