import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';
import { CountersignError } from '@countersign/base';

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

/**
 * Reads a JWKS (RFC 7517 §5): the keys of it that sign.
 *
 * @throws CountersignError ERR_ROUTER_JWKS
 */
export function readKeySet(jwks: string): VerifyingKey[] {
  try {
    const { keys } = JSON.parse(jwks) as {
      readonly keys: readonly (webcrypto.JsonWebKey & { kid?: string; use?: string })[];
    };
    if (keys.length > maxKeys) throw new TypeError(`${keys.length} keys, at most ${maxKeys}`);
    const found = keys.flatMap((jwk) => {
      if (jwk.use !== undefined && jwk.use !== 'sig') return [];
      // A symmetric key would let everybody who can verify a token make one.
      if (jwk.kty === 'oct') return [];
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      const curve = key.asymmetricKeyDetails?.namedCurve;
      const row = algorithms.find(
        (each) => each.kind === key.asymmetricKeyType && each.curve === curve,
      );
      return row === undefined ? [] : [{ kid: jwk.kid, key, row }];
    });
    if (found.length > 0) return found;
  } catch (thrown) {
    throw new CountersignError('ERR_ROUTER_JWKS', 'the JWKS cannot be read', { cause: thrown });
  }
  throw new CountersignError('ERR_ROUTER_JWKS', 'the JWKS has no key that signs');
}

function ieee(): object {
  return { dsaEncoding: 'ieee-p1363' };
}
