import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';

export interface VerifyingKey {
  readonly keyId: string | undefined;
  readonly key: KeyObject;
  /** The one that it is meant for; undefined: any that fits. */
  readonly algorithm?: string;
}

const mostKeys = 100;

/**
 * The public keys of a JWKS (RFC 7517 §5) that sign. Kinds that nothing is verified with are left out.
 *
 * @throws CountersignError ERR_JWT_KEYS where it has none
 */
export function keysOfJwks(text: string): readonly VerifyingKey[] {
  let keys: readonly (webcrypto.JsonWebKey & { kid?: string; use?: string })[];
  try {
    const json: unknown = JSON.parse(text);
    const list = (Object(json) as { keys?: unknown }).keys;
    keys = Array.isArray(list) ? list.slice(0, mostKeys) : [];
  } catch (thrown) {
    throw unusable('it is no JSON', thrown);
  }
  const found = keys.flatMap((jwk): VerifyingKey[] => {
    if (jwk?.use !== undefined && jwk.use !== 'sig') return [];
    // A symmetric key would let everybody who can verify a token make one.
    if (!isOpen(jwk)) return [];
    try {
      const { d: _, ...open } = jwk;
      const key = createPublicKey({ key: open, format: 'jwk' });
      const { kid: keyId, alg: algorithm } = jwk;
      return [{ keyId, key, ...(typeof algorithm === 'string' && { algorithm }) }];
    } catch {
      // One that cannot be read verifies nothing; the others do.
      return [];
    }
  });
  if (found.length > 0) return found;
  throw unusable(`none of its ${keys.length} keys is an RSA, EC or Ed25519 key that signs`);
}

/**
 * Public keys in PEM, or those of certificates.
 *
 * @throws CountersignError ERR_JWT_KEYS
 */
export function keysOfPem(texts: readonly string[]): readonly VerifyingKey[] {
  return texts.map((text) => {
    if (/PRIVATE KEY-----/.test(text)) throw unusable('a private key is among them');
    try {
      return { keyId: undefined, key: createPublicKey(text) };
    } catch (thrown) {
      throw unusable(`one is no public key: ${messageOf(thrown).slice(0, 100)}`);
    }
  });
}

function isOpen(jwk: webcrypto.JsonWebKey | undefined): boolean {
  return jwk?.kty === 'RSA' || jwk?.kty === 'EC' || (jwk?.kty === 'OKP' && jwk.crv === 'Ed25519');
}

function unusable(why: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_JWT_KEYS', `read keys that tokens are verified with: ${why}`, {
    cause,
  });
}
