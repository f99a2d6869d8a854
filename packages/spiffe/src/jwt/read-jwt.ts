import { type Denial, denial } from '@countersign/base';
import { bearerAlgorithm, type JwsAlgorithm } from './jws-algorithms.ts';
import type { JwtClaims } from './jwt-svid.ts';

/** What a token of another issuer says of itself; nothing of it is proved. */
export interface UnverifiedJwt {
  readonly ok: true;
  readonly claims: JwtClaims;
  readonly keyId: string | undefined;
  readonly algorithm: JwsAlgorithm;
  readonly header: Readonly<Record<string, unknown>>;
  /** What the signature is over. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

const maxLength = 32 * 1024;

/**
 * Reads a compact JWS with claims (RFC 7515 §7.1, RFC 7519). No token is in any message.
 *
 * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM.
 */
export function readJwt(text: string): UnverifiedJwt | Denial {
  if (text.length > maxLength) return form(`more than ${maxLength} characters`);
  const parts = text.split('.');
  const [head = '', body = '', tail = ''] = parts;
  if (parts.length !== 3) return form(`${parts.length} parts, a JWS has three`);
  const header = objectIn(head);
  const claims = objectIn(body);
  const signature = octetsIn(tail);
  if (header === undefined) return form('a header that is no JSON object in base64url');
  if (claims === undefined) return form('a payload that is no JSON object in base64url');
  // RFC 7515 §4.1.11: what must be understood and is not
  if (header.crit !== undefined) return form('"crit" in its header');
  const { alg, kid } = header;
  const algorithm = bearerAlgorithm(alg);
  if (algorithm === undefined) {
    const found = JSON.stringify(alg)?.slice(0, 40) ?? 'no "alg"';
    return denial('ERR_JWT_ALGORITHM', `token is signed with ${found}`);
  }
  if (signature === undefined || signature.byteLength === 0) return form('no signature');
  if (kid !== undefined && typeof kid !== 'string') return form('a "kid" that is no text');
  const signed = `${head}.${body}`;
  return { ok: true, claims, keyId: kid, algorithm, header, signed, signature };
}

function objectIn(part: string): Readonly<Record<string, unknown>> | undefined {
  const octets = octetsIn(part);
  if (octets === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(octets));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    // The caller says what was expected.
    return undefined;
  }
}

// RFC 7515 §2: base64url without padding; one spelling of each value.
function octetsIn(part: string): Uint8Array | undefined {
  const octets = Buffer.from(part, 'base64url');
  return octets.toString('base64url') === part ? octets : undefined;
}

function form(found: string): Denial {
  return denial('ERR_JWT_FORM', `token has ${found}`);
}
