import { createPublicKey } from 'node:crypto';
import { CountersignError, fromBase64, messageOf, toBase64 } from '@countersign/base';
import { type Certificate, parseCertificate, publicKeyOf } from '@countersign/x509';
import { parseTrustDomain } from './spiffe-id.ts';
import { type PublicJwk, type TrustBundle, withoutDoubles } from './trust-bundle.ts';

const maxBytes = 1024 * 1024;
const maxKeys = 256;

/**
 * Reads a SPIFFE bundle document (Trust Domain and Bundle §4): a JWK Set. The trust domain is not in the document: the
 * caller knows whose it fetched. Entries of unknown `use` or `kty`, and X.509 entries without a certificate, are
 * ignored as the standard demands; an entry that is half right refuses the whole document.
 *
 * `spiffe_sequence` above 2^53-1 is refused rather than rounded.
 *
 * @param json at most 1 MiB and 256 keys
 * @throws CountersignError ERR_BUNDLE_SYNTAX, ERR_BUNDLE_KEY, ERR_BUNDLE_LIMIT, ERR_SPIFFE_TRUST_DOMAIN
 */
export function parseBundleDocument(json: string, trustDomain: string): TrustBundle {
  const name = parseTrustDomain(trustDomain);
  if (json.length > maxBytes) {
    throw limit(`bundle of "${name}" has ${json.length} characters, at most ${maxBytes} are read`);
  }
  const document = parseObject(json, name);
  const { keys } = document;
  if (!Array.isArray(keys)) throw syntax(name, '"keys" is not a list');
  if (keys.length > maxKeys) {
    throw limit(`bundle of "${name}" has ${keys.length} keys, at most ${maxKeys} are read`);
  }
  const sequence = integerMember(document, 'spiffe_sequence', name);
  const refreshHintSeconds = integerMember(document, 'spiffe_refresh_hint', name);
  const authorities: Certificate[] = [];
  const jwtKeys: PublicJwk[] = [];
  for (const [index, entry] of keys.entries()) {
    if (!isObject(entry)) throw syntax(name, `"keys" has at ${index} something that is no object`);
    const known = knownEntry(entry);
    if (known === 'x509-svid') authorities.push(...authorityOf(entry, index, name));
    if (known === 'jwt-svid') jwtKeys.push(jwtKeyOf(entry, index, name, jwtKeys));
  }
  return {
    trustDomain: name,
    authorities: withoutDoubles(authorities),
    ...(sequence === undefined ? {} : { sequence }),
    ...(refreshHintSeconds === undefined ? {} : { refreshHintSeconds }),
    ...(jwtKeys.length === 0 ? {} : { jwtKeys }),
  };
}

/**
 * Writes the bundle document of a bundle; equal bundles give equal text. Remembered for as long as the bundle is: it goes
 * with every certificate that is issued, and anybody may ask for it.
 *
 * @throws CountersignError ERR_BUNDLE_KEY for an authority whose key has no JWK form
 */
export function formatBundleDocument(bundle: TrustBundle): string {
  const known = written.get(bundle);
  if (known !== undefined) return known;
  const text = writeDocument(bundle);
  written.set(bundle, text);
  return text;
}

const written = new WeakMap<TrustBundle, string>();

function writeDocument(bundle: TrustBundle): string {
  const document = {
    keys: [
      ...bundle.authorities.map((authority) => ({
        ...publicJwkOf(authority, bundle.trustDomain),
        use: 'x509-svid',
        x5c: [toBase64(authority.raw)],
      })),
      ...(bundle.jwtKeys ?? []).map((key) => ({ ...key, use: 'jwt-svid' })),
    ],
    ...(bundle.sequence === undefined ? {} : { spiffe_sequence: bundle.sequence }),
    ...(bundle.refreshHintSeconds === undefined
      ? {}
      : { spiffe_refresh_hint: bundle.refreshHintSeconds }),
  };
  return JSON.stringify(document);
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Public members by `kty`, and so the key types that we know (RFC 7518 §6, RFC 8037 §2; AKP is ML-DSA's). */
const publicMembers: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'x', 'y'],
  RSA: ['n', 'e'],
  OKP: ['crv', 'x'],
  AKP: ['alg', 'pub'],
};

/** RFC 7518 §6: members that only a private key has. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

// Trust Domain and Bundle §4.2: unknown key types and uses are ignored with their whole entry.
function knownEntry(entry: JsonObject): 'x509-svid' | 'jwt-svid' | undefined {
  const { kty, use } = entry;
  if (typeof kty !== 'string' || !Object.hasOwn(publicMembers, kty)) return undefined;
  return use === 'x509-svid' || use === 'jwt-svid' ? use : undefined;
}

function authorityOf(entry: JsonObject, index: number, name: string): Certificate[] {
  const { x5c } = entry;
  // X509-SVID §6.2: an entry without certificate is ignored, and of several all but the first.
  if (x5c === undefined || (Array.isArray(x5c) && x5c.length === 0)) return [];
  const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
  const der = typeof first === 'string' ? fromBase64(first) : undefined;
  if (der === undefined) throw wrongKey(name, index, '"x5c" is not a list of base64 certificates');
  const certificate = parseAuthority(der, index, name);
  // RFC 7517 §4.7: the key in the first certificate is the one that the other members represent.
  if (!isKeyOf(certificate, entry, index, name)) {
    throw wrongKey(name, index, 'its key is not the key of its certificate');
  }
  return [certificate];
}

function parseAuthority(der: Uint8Array, index: number, name: string): Certificate {
  try {
    return parseCertificate(der);
  } catch (thrown) {
    throw wrongKey(name, index, `its certificate cannot be read: ${messageOf(thrown)}`, thrown);
  }
}

function isKeyOf(
  certificate: Certificate,
  entry: JsonObject,
  index: number,
  name: string,
): boolean {
  const written = publicJwk(entry, index, name);
  const inCertificate = publicJwkOf(certificate, name);
  return Object.entries(written).every(([member, value]) => inCertificate[member] === value);
}

// JWT-SVID §6: every jwt-svid entry has a `kid`, which tells the keys of the bundle apart.
function jwtKeyOf(
  entry: JsonObject,
  index: number,
  name: string,
  others: readonly PublicJwk[],
): PublicJwk {
  const { kid, alg } = entry;
  if (typeof kid !== 'string' || kid === '') throw wrongKey(name, index, 'it has no "kid"');
  if (others.some((other) => other.kid === kid)) {
    throw wrongKey(name, index, `its "kid" ${JSON.stringify(kid)} occurs before`);
  }
  const jwk = publicJwk(entry, index, name);
  try {
    createPublicKey({ key: jwk, format: 'jwk' });
  } catch (thrown) {
    throw wrongKey(name, index, `its key cannot be used: ${messageOf(thrown)}`, thrown);
  }
  return { ...jwk, kid, ...(typeof alg === 'string' ? { alg } : {}) };
}

function publicJwk(entry: JsonObject, index: number, name: string): PublicJwk {
  const secret = privateMembers.find((member) => Object.hasOwn(entry, member));
  if (secret !== undefined) throw wrongKey(name, index, `it has the private member "${secret}"`);
  const kty = String(entry.kty);
  const jwk: Record<string, string> & { kty: string } = { kty };
  for (const member of publicMembers[kty] ?? []) {
    const value = entry[member];
    if (typeof value !== 'string') throw wrongKey(name, index, `its "${member}" is not a text`);
    jwk[member] = value;
  }
  return jwk;
}

function publicJwkOf(certificate: Certificate, name: string): Record<string, unknown> {
  try {
    const key = publicKeyOf(certificate.spki);
    // RFC 4055 §1.2: an RSA-PSS key is an RSA key with a restriction, which a JWK says elsewhere.
    const plain =
      key.asymmetricKeyType === 'rsa-pss'
        ? createPublicKey({ key: Buffer.from(certificate.spki.bits), format: 'der', type: 'pkcs1' })
        : key;
    return { ...plain.export({ format: 'jwk' }) };
  } catch (thrown) {
    throw new CountersignError(
      'ERR_BUNDLE_KEY',
      `authority ${certificate.serialHex} of "${name}" has a key without JWK form: ${messageOf(thrown)}`,
      { fields: { trustDomain: name, serial: certificate.serialHex }, cause: thrown },
    );
  }
}

function parseObject(json: string, name: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (thrown) {
    throw syntax(name, 'it is not JSON', thrown);
  }
  if (!isObject(value)) throw syntax(name, 'it is not a JSON object');
  return value;
}

function integerMember(document: JsonObject, member: string, name: string): number | undefined {
  const value = document[member];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw syntax(name, `"${member}" is not an integer from 0 to 2^53-1`);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function syntax(name: string, reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_BUNDLE_SYNTAX', `bundle of "${name}": ${reason}`, {
    fields: { trustDomain: name },
    cause,
  });
}

function limit(reason: string): CountersignError {
  return new CountersignError('ERR_BUNDLE_LIMIT', reason);
}

function wrongKey(name: string, index: number, reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_BUNDLE_KEY', `bundle of "${name}", keys[${index}]: ${reason}`, {
    fields: { trustDomain: name, index },
    cause,
  });
}
