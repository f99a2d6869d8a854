import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';
import { type Certificate, publicKeyOf } from '@countersign/x509';

/** The header that carries it. */
export const hopHeader = 'x-countersign-hop';

/** Who called whom, said by the hop between them. */
export interface HopClaims {
  /** SPIFFE ID of the hop that speaks. */
  readonly issuer: string;
  /** SPIFFE ID of whom it speaks about: its own caller. */
  readonly subject: string;
  /** SHA-256 of the caller's certificate, lowercase hex. */
  readonly subjectFingerprint: string;
  /** SPIFFE IDs of those for whom it is. */
  readonly audience: readonly string[];
  /** Milliseconds since the epoch, whole seconds. */
  readonly expiresAt: number;
}

export interface HopSigner {
  readonly privateKey: KeyObject;
  /** The certificate of that key, which the hop shows on the connection that carries the header. */
  readonly leaf: Certificate;
}

const type = 'countersign-hop+jwt';
const maxLength = 8192;

/** A statement of a hop about its caller, as a JWS in compact form (RFC 7515), signed with the hop's own TLS key. */
export function signHop(claims: HopClaims, { privateKey, leaf }: HopSigner): string {
  const row = rowOf(privateKey);
  const header = { alg: row?.alg ?? 'none', typ: type, 'x5t#S256': thumbprint(leaf) };
  if (row === undefined)
    throw new TypeError(`a hop with a key of "${privateKey.asymmetricKeyType}"`);
  const payload = {
    iss: claims.issuer,
    sub: claims.subject,
    'sub_x5t#S256': Buffer.from(claims.subjectFingerprint, 'hex').toString('base64url'),
    aud: claims.audience,
    exp: Math.floor(claims.expiresAt / 1000),
  };
  const signed = `${encode(header)}.${encode(payload)}`;
  const signature = sign(row.hash, Buffer.from(signed), { key: privateKey, ...row.options });
  return `${signed}.${signature.toString('base64url')}`;
}

export type HopVerdict = { readonly ok: true; readonly claims: HopClaims } | Denial;

/**
 * What a hop says of its caller, proved: signed by the key of the certificate that it showed on this very connection, for
 * us, and not over. So it is worth what the hop's certificate is, and nothing on another connection.
 *
 * Denials: ERR_HOP_SIGNATURE.
 *
 * @param expected.leaf of the peer of the connection
 * @param expected.audience our own SPIFFE ID
 */
export function verifyHop(
  text: string,
  expected: {
    readonly leaf: Certificate;
    readonly issuer: string;
    readonly audience: string;
    readonly at: number;
  },
): HopVerdict {
  if (text.length > maxLength) return refuse(`it has ${text.length} characters`);
  const parts = text.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3) return refuse(`it has ${parts.length} parts, a JWS has 3`);
  const { alg, typ, 'x5t#S256': shown, crit } = decode(header);
  const key = publicKeyOf(expected.leaf.spki);
  const row = rowOf(key);
  // RFC 7515 §4.1.11: what is critical and not understood invalidates the whole.
  if (row === undefined || alg !== row.alg || typ !== type || crit !== undefined) {
    return refuse(`its header says "${String(alg)}" and "${String(typ)}"`);
  }
  if (shown !== thumbprint(expected.leaf))
    return refuse('it is of another certificate than the peer showed');
  const signed = Buffer.from(`${header}.${payload}`);
  const octets = Buffer.from(signature, 'base64url');
  if (!verify(row.hash, signed, { key, ...row.options }, octets)) {
    return refuse('its signature does not verify');
  }
  const claims = decode(payload);
  const { iss, sub, aud, exp } = claims;
  const print = claims['sub_x5t#S256'];
  const areTexts = [iss, sub, print].every((each) => typeof each === 'string');
  if (!areTexts || typeof exp !== 'number') return refuse('a claim is missing');
  if (iss !== expected.issuer)
    return refuse(`it is by "${String(iss)}", the peer is "${expected.issuer}"`);
  const audience = Array.isArray(aud) ? aud.map(String) : [];
  if (!audience.includes(expected.audience)) return refuse(`it is for "${audience.join('", "')}"`);
  if (expected.at >= exp * 1000) return refuse(`it ended at ${new Date(exp * 1000).toISOString()}`);
  const subjectFingerprint = Buffer.from(String(print), 'base64url').toString('hex');
  return {
    ok: true,
    claims: {
      ...{ issuer: String(iss), subject: String(sub), subjectFingerprint, audience },
      expiresAt: exp * 1000,
    },
  };
}

interface AlgorithmRow {
  /** RFC 7518 §3.1, RFC 8037 §3.1. */
  readonly alg: string;
  readonly hash: string | null;
  readonly options: object;
}

const byCurve: Readonly<Record<string, AlgorithmRow>> = {
  prime256v1: { alg: 'ES256', hash: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  secp384r1: { alg: 'ES384', hash: 'sha384', options: { dsaEncoding: 'ieee-p1363' } },
  secp521r1: { alg: 'ES512', hash: 'sha512', options: { dsaEncoding: 'ieee-p1363' } },
};
const rsa: AlgorithmRow = { alg: 'RS256', hash: 'sha256', options: {} };
const ed25519: AlgorithmRow = { alg: 'EdDSA', hash: null, options: {} };

/** The one algorithm of a key: the signature's header has no say in it. */
function rowOf(key: KeyObject): AlgorithmRow | undefined {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key;
  if (kind === 'ec') return byCurve[details?.namedCurve ?? ''];
  if (kind === 'rsa') return rsa;
  return kind === 'ed25519' ? ed25519 : undefined;
}

function thumbprint({ raw }: Certificate): string {
  return createHash('sha256').update(raw).digest('base64url');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')));
  } catch {
    return {};
  }
}

function refuse(reason: string): Denial {
  return denial('ERR_HOP_SIGNATURE', `hop signature: ${reason}`);
}
