import { createHmac, createPublicKey, hash, type KeyObject, sign } from 'node:crypto';
import { CountersignError } from '@countersign/base';

export function base64Url(value: Uint8Array | string): string {
  return Buffer.from(value as string).toString('base64url');
}

interface JwsRow {
  readonly alg: string;
  readonly digest: string | null;
  readonly ecdsa: boolean;
}

/** RFC 7518 §3.1, RFC 8037: what a key signs by. */
const algorithms: Readonly<Record<string, JwsRow>> = {
  'P-256': { alg: 'ES256', digest: 'sha256', ecdsa: true },
  'P-384': { alg: 'ES384', digest: 'sha384', ecdsa: true },
  'P-521': { alg: 'ES512', digest: 'sha512', ecdsa: true },
  Ed25519: { alg: 'EdDSA', digest: null, ecdsa: false },
  RSA: { alg: 'RS256', digest: 'sha256', ecdsa: false },
};

/** Parts of a JWS (RFC 7515 §7.1), signed by the algorithm that the key has. */
export function signJws(
  key: KeyObject,
  header: Readonly<Record<string, unknown>>,
  payload: string,
): { readonly protected: string; readonly payload: string; readonly signature: string } {
  const { alg, digest, ecdsa } = algorithmOf(key);
  const head = base64Url(JSON.stringify({ alg, ...header }));
  const body = base64Url(payload);
  const signed = Buffer.from(`${head}.${body}`);
  const signature = sign(digest, signed, ecdsa ? { key, dsaEncoding: 'ieee-p1363' } : key);
  return { protected: head, payload: body, signature: base64Url(signature) };
}

/** The same by a MAC: HMAC with SHA-256. */
export function macJws(
  key: Uint8Array,
  header: Readonly<Record<string, unknown>>,
  payload: string,
): { readonly protected: string; readonly payload: string; readonly signature: string } {
  const head = base64Url(JSON.stringify({ alg: 'HS256', ...header }));
  const body = base64Url(payload);
  const mac = createHmac('sha256', key).update(`${head}.${body}`).digest();
  return { protected: head, payload: body, signature: base64Url(mac) };
}

/** The members that a public key's thumbprint is of, in order (RFC 7638 §3.2). */
export function publicJwk(key: KeyObject): Readonly<Record<string, string>> {
  const jwk = createPublicKey(key as never).export({ format: 'jwk' }) as Record<string, string>;
  const members = {
    EC: ['crv', 'kty', 'x', 'y'],
    OKP: ['crv', 'kty', 'x'],
    RSA: ['e', 'kty', 'n'],
  };
  const names = members[jwk.kty as keyof typeof members] ?? [];
  return Object.fromEntries(names.map((name) => [name, jwk[name] ?? '']));
}

/** RFC 7638. */
export function thumbprint(key: KeyObject): string {
  return hash('sha256', JSON.stringify(publicJwk(key)), 'base64url');
}

function algorithmOf(key: KeyObject): JwsRow {
  const { kty, crv } = createPublicKey(key as never).export({ format: 'jwk' });
  const row = algorithms[String(kty === 'RSA' ? kty : crv)];
  if (row !== undefined) return row;
  const message = `a key ${kty} ${crv ?? ''} signs no JWS, expected ${Object.keys(algorithms).join(', ')}`;
  throw new CountersignError('ERR_ISSUER_CONFIG', message);
}
