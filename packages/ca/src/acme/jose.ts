import {
  constants,
  createHmac,
  createPublicKey,
  hash,
  type KeyObject,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import type { PublicJwk } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';

/** A flattened JWS (RFC 7515 §7.2.2) as ACME sends it; nothing in it is proved before {@link verifyJws}. */
export interface Jws {
  readonly ok: true;
  readonly header: JwsHeader;
  readonly payload: Uint8Array;
  /** What is signed. */
  readonly input: Uint8Array;
  readonly signature: Uint8Array;
}

export interface JwsHeader {
  readonly alg: string;
  readonly url: string;
  readonly nonce: string | undefined;
  /** One of both is there. */
  readonly jwk: unknown;
  readonly kid: string | undefined;
}

/** Of accounts and of certificates that sign their own revocation (RFC 7518 §3.1, RFC 8037 §3.1). */
const algorithms: Readonly<Record<string, SignatureRow>> = {
  ES256: { kty: 'EC', crv: 'P-256', digest: 'sha256', octets: 64 },
  ES384: { kty: 'EC', crv: 'P-384', digest: 'sha384', octets: 96 },
  ES512: { kty: 'EC', crv: 'P-521', digest: 'sha512', octets: 132 },
  RS256: { kty: 'RSA', crv: undefined, digest: 'sha256', octets: undefined },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', digest: undefined, octets: 64 },
};

interface SignatureRow {
  readonly kty: string;
  readonly crv: string | undefined;
  readonly digest: string | undefined;
  readonly octets: number | undefined;
}

export const algorithmNames: readonly string[] = Object.keys(algorithms);

/** RFC 7638 §3.2, RFC 8037 §2: the members that make the key, in lexicographic order. */
const keyMembers: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  RSA: ['e', 'kty', 'n'],
  OKP: ['crv', 'kty', 'x'],
};

/** Reads a JWS out of parsed JSON. Problems: malformed, badSignatureAlgorithm. */
export function readJws(json: unknown): Jws | AcmeProblem {
  if (!isRecord(json)) return malformed('the body is no JSON object');
  const { protected: head, payload, signature, header } = json;
  // RFC 8555 §6.2: flattened, one signature, no unprotected header
  if (header !== undefined) return malformed('a JWS with an unprotected "header" is not taken');
  if ('signatures' in json) return malformed('a JWS with several "signatures" is not taken');
  const parts = [fromBase64Url(head), fromBase64Url(payload), fromBase64Url(signature)];
  const [headBytes, payloadBytes, signatureBytes] = parts;
  if (headBytes === undefined || payloadBytes === undefined || signatureBytes === undefined) {
    return malformed('"protected", "payload" and "signature" must be base64url without padding');
  }
  const read = readHeader(headBytes);
  if (!read.ok) return read;
  const input = Buffer.from(`${head}.${payload}`, 'latin1');
  const { header: jwsHeader } = read;
  return { ok: true, header: jwsHeader, payload: payloadBytes, input, signature: signatureBytes };
}

/** Whether the key signed it with the algorithm that its header names. Problems: badSignatureAlgorithm, malformed. */
export function verifyJws(jws: Jws, key: KeyObject): { readonly ok: true } | AcmeProblem {
  const row = algorithms[jws.header.alg];
  if (row === undefined) return unknownAlgorithm(jws.header.alg);
  // A key is used with its own algorithm alone: an RSA key that were taken as an HMAC secret proves nothing.
  const wanted = algorithmOf(key);
  if (wanted !== jws.header.alg) {
    const sides = `the header says "${jws.header.alg}", the key is for "${wanted ?? 'none'}"`;
    return problem('badSignatureAlgorithm', sides, { algorithms: algorithmNames });
  }
  const isRight =
    (row.octets === undefined || row.octets === jws.signature.byteLength) &&
    verify(row.digest ?? null, jws.input, { key, ...signingOf(row) }, jws.signature);
  return isRight ? { ok: true } : malformed('the JWS signature is not by that key');
}

/** Problems: badPublicKey. */
export function readJwk(
  jwk: unknown,
): { readonly ok: true; readonly key: AccountKey } | AcmeProblem {
  if (!isRecord(jwk)) return badKey('"jwk" is no JSON object');
  const { kty } = jwk;
  const members = typeof kty === 'string' && Object.hasOwn(keyMembers, kty) ? keyMembers[kty] : [];
  if (members === undefined || members.length === 0) {
    return badKey(`"kty" must be one of ${Object.keys(keyMembers).join(', ')}`);
  }
  if (['d', 'p', 'q', 'k'].some((each) => each in jwk))
    return badKey('the key holds private parts');
  const own = Object.fromEntries(members.map((name) => [name, jwk[name]]));
  if (Object.values(own).some((each) => typeof each !== 'string' || each.length > 1400)) {
    return badKey(`a key of "kty" "${kty}" has ${members.join(', ')}, each a string`);
  }
  let key: KeyObject;
  try {
    key = createPublicKey({ key: own, format: 'jwk' });
  } catch {
    return badKey('it is no such key');
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (kty === 'RSA' && (bits < 2048 || bits > 4096)) {
    return badKey(`an RSA key of ${bits} bits, 2048 to 4096 are taken`);
  }
  if (algorithmOf(key) === undefined)
    return badKey('keys on P-256, P-384, P-521, Ed25519 and RSA are taken');
  return { ok: true, key: { jwk: own as PublicJwk, key, thumbprint: thumbprintOf(own) } };
}

export interface AccountKey {
  /** Its public members alone. */
  readonly jwk: PublicJwk;
  readonly key: KeyObject;
  /** RFC 7638, base64url. */
  readonly thumbprint: string;
}

/** RFC 7638 of a SubjectPublicKeyInfo, DER; undefined where no account could have such a key. */
export function thumbprintOfSpki(spki: Uint8Array): string | undefined {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  if (algorithmOf(key) === undefined) return undefined;
  const jwk = key.export({ format: 'jwk' }) as Record<string, unknown>;
  const members = keyMembers[String(jwk.kty)] ?? [];
  return thumbprintOf(Object.fromEntries(members.map((name) => [name, jwk[name]])));
}

/** Of a key that {@link readJwk} has read before. Those used last are kept: each request of an account needs its own. */
export function keyOfJwk(jwk: PublicJwk): KeyObject {
  const id = JSON.stringify(jwk);
  const key = keys.get(id) ?? createPublicKey({ key: jwk, format: 'jwk' });
  keys.delete(id);
  keys.set(id, key);
  const [oldest = ''] = keys.keys();
  if (keys.size > mostKeys) keys.delete(oldest);
  return key;
}

const keys = new Map<string, KeyObject>();
const mostKeys = 1000;

/** The JWS algorithm that a key signs with, or undefined. */
export function algorithmOf(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') return 'RS256';
  if (type === 'ed25519') return 'EdDSA';
  if (type !== 'ec') return undefined;
  const curves: Readonly<Record<string, string>> = {
    prime256v1: 'ES256',
    secp384r1: 'ES384',
    secp521r1: 'ES512',
  };
  return curves[details?.namedCurve ?? ''];
}

/** RFC 8555 §7.3.4: an HMAC by the external account's key. */
export function verifyMac(jws: Jws, secret: Uint8Array): boolean {
  const digests: Readonly<Record<string, string>> = {
    HS256: 'sha256',
    HS384: 'sha384',
    HS512: 'sha512',
  };
  const digest = Object.hasOwn(digests, jws.header.alg) ? digests[jws.header.alg] : undefined;
  if (digest === undefined) return false;
  const mac = createHmac(digest, secret).update(jws.input).digest();
  return mac.byteLength === jws.signature.byteLength && timingSafeEqual(mac, jws.signature);
}

function readHeader(
  bytes: Uint8Array,
): { readonly ok: true; readonly header: JwsHeader } | AcmeProblem {
  const json = jsonOf(bytes);
  if (!isRecord(json)) return malformed('"protected" is no JSON object');
  const { alg, url, nonce, jwk, kid, crit } = json;
  // RFC 7515 §4.1.11: what must be understood and is not
  if (crit !== undefined) return malformed('"crit" names what is not understood');
  if ('b64' in json) return malformed('"b64" is not understood');
  if (typeof alg !== 'string') return malformed('"alg" is missing');
  if (typeof url !== 'string') return malformed('"url" is missing');
  if (nonce !== undefined && typeof nonce !== 'string') return malformed('"nonce" is no string');
  if (kid !== undefined && typeof kid !== 'string') return malformed('"kid" is no string');
  // RFC 8555 §6.2: mutually exclusive
  if (jwk !== undefined && kid !== undefined) return malformed('both "jwk" and "kid" are given');
  return { ok: true, header: { alg, url, nonce, jwk, kid } };
}

export function unknownAlgorithm(alg: string): AcmeProblem {
  const sides = `"${alg.slice(0, 40)}" is not taken, ${algorithmNames.join(', ')} are`;
  return problem('badSignatureAlgorithm', sides, { algorithms: algorithmNames });
}

function signingOf({ kty }: SignatureRow): object {
  if (kty === 'EC') return { dsaEncoding: 'ieee-p1363' };
  return kty === 'RSA' ? { padding: constants.RSA_PKCS1_PADDING } : {};
}

function thumbprintOf(members: object): string {
  return hash('sha256', JSON.stringify(members), 'base64url');
}

/** JSON of a payload or header, or undefined. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** Strict: no padding, no other alphabet, one spelling. */
export function fromBase64Url(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(detail: string): AcmeProblem {
  return problem('malformed', detail);
}

function badKey(detail: string): AcmeProblem {
  return problem('badPublicKey', `account key: ${detail}`);
}
