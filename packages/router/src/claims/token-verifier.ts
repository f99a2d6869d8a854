import { createPublicKey, type KeyObject, verify, type webcrypto } from 'node:crypto';
import { type Clock, CountersignError, type Denial, denial } from '@countersign/base';

export interface TokenVerifierOptions {
  /** JWKS (RFC 7517 §5), JSON. */
  readonly jwks: string;
  readonly issuer: string;
  readonly audience: string;
  readonly clock: Clock;
}

/** What a verified token says. */
export interface TokenClaims {
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
}

interface VerifyingKey {
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

const maxLength = 16_384;
/** Clocks may differ by so much. */
const leewayMs = 30_000;

/**
 * Reads bearer tokens (RFC 7519, RFC 9068): signed by a key of the set, by the issuer, for the audience, now. The key
 * decides the algorithm; what a token's header says must only agree.
 */
export class TokenVerifier {
  readonly #keys: readonly VerifyingKey[];
  readonly #options: TokenVerifierOptions;

  /** @throws CountersignError ERR_ROUTER_JWKS */
  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#keys = readKeys(options.jwks);
  }

  /** Denials: ERR_GRAPHQL_TOKEN. @param header the value of the header, `Bearer …` */
  verify(header: string): { readonly ok: true; readonly claims: TokenClaims } | Denial {
    const text = /^Bearer +([A-Za-z0-9_.-]+)$/i.exec(header)?.[1];
    if (text === undefined || text.length > maxLength) return refuse('it is no bearer token');
    const [head = '', payload = '', signature = '', ...more] = text.split('.');
    if (more.length > 0 || signature === '') return refuse('it is no JWS');
    const { alg, kid, crit } = decode(head);
    if (crit !== undefined) return refuse('its header has "crit"');
    const candidates = this.#keys.filter(
      (each) => each.row.alg === alg && (kid === undefined || each.kid === kid),
    );
    const signed = Buffer.from(`${head}.${payload}`);
    const octets = Buffer.from(signature, 'base64url');
    const isSigned = candidates.some(({ key, row }) =>
      verify(row.hash, signed, { key, ...row.options }, octets),
    );
    if (!isSigned)
      return refuse(`no key of the set verifies it (alg "${String(alg)}", kid "${String(kid)}")`);
    return this.#judge(decode(payload));
  }

  #judge(claims: Readonly<Record<string, unknown>>) {
    const { iss, sub, aud, exp, nbf, scope, scp } = claims;
    const { issuer, audience, clock } = this.#options;
    if (iss !== issuer) return refuse(`it is by "${String(iss)}", expected "${issuer}"`);
    const audiences = [aud].flat().map(String);
    if (!audiences.includes(audience)) {
      return refuse(`it is for "${audiences.join('", "')}", expected "${audience}"`);
    }
    if (typeof sub !== 'string' || sub === '') return refuse('it has no subject');
    const now = clock.now();
    // A token without an end is refused: it would be good for ever.
    if (typeof exp !== 'number' || now >= exp * 1000 + leewayMs)
      return refuse('it has ended, or has no end');
    if (typeof nbf === 'number' && now < nbf * 1000 - leewayMs)
      return refuse('it is not valid yet');
    const written = Array.isArray(scp) ? scp : String(scope ?? '').split(' ');
    const scopes = new Set(written.map(String).filter((each) => each !== ''));
    return { ok: true as const, claims: { subject: sub, scopes } };
  }
}

function readKeys(jwks: string): VerifyingKey[] {
  try {
    const { keys } = JSON.parse(jwks) as {
      readonly keys: readonly (webcrypto.JsonWebKey & { kid?: string; use?: string })[];
    };
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

function decode(part: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')));
  } catch {
    return {};
  }
}

function refuse(reason: string): Denial {
  return denial('ERR_GRAPHQL_TOKEN', `token refused: ${reason}`);
}
