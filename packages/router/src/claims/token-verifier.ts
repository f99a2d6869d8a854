import { verify } from 'node:crypto';
import { type Clock, type Denial, denial } from '@countersign/base';
import type { KeySource } from './key-set.ts';

export interface TokenVerifierOptions {
  readonly keys: KeySource;
  readonly issuer: string;
  readonly audience: string;
  readonly clock: Clock;
}

/** What a verified token says. */
export interface TokenClaims {
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
  /** Milliseconds since the epoch: `exp`, and what clocks may differ by. */
  readonly endsAt: number;
}

type Verdict = { readonly ok: true; readonly claims: TokenClaims } | Denial;

const maxLength = 16_384;
/** Clocks may differ by so much. */
const leewayMs = 30_000;

/**
 * Reads bearer tokens (RFC 7519, RFC 9068): signed by a key of the set, by the issuer, for the audience, now. The key
 * decides the algorithm; what a token's header says must only agree.
 */
export class TokenVerifier {
  readonly #options: TokenVerifierOptions;

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
  }

  /** Denials: ERR_GRAPHQL_TOKEN. @param header the value of the header, `Bearer …` */
  async verify(header: string): Promise<Verdict> {
    const text = /^Bearer +([A-Za-z0-9_.-]+)$/i.exec(header)?.[1];
    if (text === undefined || text.length > maxLength) return refuse('it is no bearer token');
    const [head = '', payload = '', signature = '', ...more] = text.split('.');
    if (more.length > 0 || signature === '') return refuse('it is no JWS');
    const { alg, kid, crit } = decode(head);
    if (crit !== undefined) return refuse('its header has "crit"');
    const { keys } = this.#options;
    const find = () =>
      keys.keys().filter((each) => each.row.alg === alg && (kid === undefined || each.kid === kid));
    let candidates = find();
    // An issuer that has changed its keys is asked again, as often as the source lets everybody together.
    if (candidates.length === 0 && (await keys.lookAgain?.()) === true) candidates = find();
    const signed = Buffer.from(`${head}.${payload}`);
    const octets = Buffer.from(signature, 'base64url');
    const isSigned = candidates.some(({ key, row }) =>
      verify(row.hash, signed, { key, ...row.options }, octets),
    );
    if (!isSigned)
      return refuse(`no key of the set verifies it (alg "${String(alg)}", kid "${String(kid)}")`);
    return this.#judge(decode(payload));
  }

  #judge(claims: Readonly<Record<string, unknown>>): Verdict {
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
    const endsAt = typeof exp === 'number' ? exp * 1000 + leewayMs : Number.NaN;
    if (!(now < endsAt)) return refuse('it has ended, or has no end');
    if (typeof nbf === 'number' && now < nbf * 1000 - leewayMs)
      return refuse('it is not valid yet');
    const written = Array.isArray(scp) ? scp : String(scope ?? '').split(' ');
    const scopes = new Set(written.map(String).filter((each) => each !== ''));
    return { ok: true as const, claims: { subject: sub, scopes, endsAt } };
  }
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
