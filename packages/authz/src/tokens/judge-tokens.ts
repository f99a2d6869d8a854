import { type Denial, denial, messageOf } from '@countersign/base';
import {
  hasKeyFor,
  readJwt,
  type UnverifiedJwt,
  type VerifyingKey,
  verifyJwt,
} from '@countersign/spiffe';
import type { TokenRule } from '../policy/request-authentication.ts';
import { hasHeader, type RawHeaders } from '../request/header-lines.ts';
import type { Claims } from '../rules/rule-facts.ts';
import {
  findTokens,
  placesOf,
  type TokenCarrier,
  type TokenPlace,
  withoutTokens,
} from './find-tokens.ts';
import { told, toldHeaders, withoutTold } from './told-claims.ts';

/** The keys that a rule's tokens are verified with. */
export interface TokenKeys {
  /**
   * @param isMissing a token names a key that the last answer did not have
   * @throws CountersignError ERR_JWT_KEYS
   */
  keysOf(
    rule: TokenRule,
    isMissing: boolean,
  ): readonly VerifyingKey[] | Promise<readonly VerifyingKey[]>;
}

export interface TokenRequest extends TokenCarrier {
  readonly method: string;
}

/** What a request is after its tokens have been looked at. */
export interface JudgedTokens {
  readonly ok: true;
  /** Of the token that was verified; undefined where there is none. */
  readonly claims: Claims | undefined;
  readonly spaceDelimitedClaims: readonly string[];
  /** Without the tokens that are not passed on, and with what rules have upstreams told. */
  readonly rawHeaders: RawHeaders;
  readonly query: string;
}

/** Rules of one workload, made ready for its requests. */
export interface TokenRules {
  readonly rules: readonly (TokenRule & { readonly places: readonly TokenPlace[] })[];
  readonly told: ReadonlySet<string>;
}

/** In Istio's order, by issuer: of several tokens the first rule's counts. */
export function compileTokenRules(rules: readonly TokenRule[]): TokenRules {
  const sorted = rules.toSorted((a, b) => (a.issuer < b.issuer ? -1 : Number(a.issuer > b.issuer)));
  return {
    rules: sorted.map((rule) => ({ ...rule, places: placesOf(rule) })),
    told: toldHeaders(rules),
  };
}

/**
 * Whose a request is by its tokens, as Istio has Envoy judge it: without a token it passes, and nothing is known of it;
 * with tokens, those at the places of one rule have to be valid by that rule. Stricter than Envoy where one place has
 * two tokens.
 *
 * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM, ERR_JWT_ISSUER, ERR_JWT_KEYS, ERR_JWT_KEY, ERR_JWT_SIGNATURE,
 * ERR_JWT_EXPIRED, ERR_JWT_NOT_YET_VALID, ERR_JWT_AUDIENCE.
 */
export async function judgeTokens(
  { rules, told: names }: TokenRules,
  request: TokenRequest,
  { keys, at }: { readonly keys: TokenKeys; readonly at: number },
): Promise<JudgedTokens | Denial> {
  // 1. What only a verified token says is not a caller's to say.
  const carrier = { rawHeaders: withoutTold(request.rawHeaders, names), query: request.query };
  const untold = { ok: true, claims: undefined, spaceDelimitedClaims: [], ...carrier } as const;
  if (isPreflight(request)) return untold;

  // 2. The first rule by which all that is at its places is valid.
  let refused: Denial | undefined;
  for (const rule of rules) {
    const found = findTokens(rule.places, carrier);
    if ('ok' in found) return found;
    const last = found.at(-1);
    if (last === undefined) continue;
    const verified = await verifyAll(
      rule,
      found.map(({ text }) => text),
      { keys, at },
    );
    if (!verified.ok) {
      // What is wrong with a token of the rule's own issuer says more than that it is another's.
      if (refused === undefined || refused.code === 'ERR_JWT_ISSUER') refused = verified;
      continue;
    }

    // 3. What upstreams see of it.
    const { claims, payload } = verified;
    const places = found.map(({ place }) => place);
    const left = rule.forwardOriginalToken ? carrier : withoutTokens(carrier, places);
    return {
      ...{ ok: true, claims, spaceDelimitedClaims: rule.spaceDelimitedClaims },
      ...{ rawHeaders: [...left.rawHeaders, ...told(rule, claims, payload)], query: left.query },
    };
  }
  return refused ?? untold;
}

type Verified = { readonly ok: true; readonly claims: Claims; readonly payload: string } | Denial;

/** All of them, so that none that is invalid gets further beside a valid one; the first one's claims count. */
async function verifyAll(
  rule: TokenRule,
  texts: readonly string[],
  by: { readonly keys: TokenKeys; readonly at: number },
): Promise<Verified> {
  let first: Verified | undefined;
  for (const text of texts) {
    const verified = await verifyOne(rule, text, by);
    if (!verified.ok) return verified;
    first ??= verified;
  }
  return first ?? denial('ERR_JWT_FORM', 'there is no token');
}

async function verifyOne(
  rule: TokenRule,
  text: string,
  { keys, at }: { readonly keys: TokenKeys; readonly at: number },
): Promise<Verified> {
  const read = readJwt(text);
  if (!read.ok) return read;
  const { issuer, audiences } = rule;
  const { iss, aud } = read.claims;
  if (issuer !== '' && iss !== issuer) {
    const sides = `is by "${String(iss).slice(0, 200)}", expected "${issuer}"`;
    return denial('ERR_JWT_ISSUER', `token ${sides}`);
  }
  const known = await keysFor(rule, read, keys);
  if ('ok' in known) return known;
  const verified = verifyJwt(read, { keys: known, at, takesEndless: true });
  if (!verified.ok) return verified;
  const shown = aud === undefined ? [] : [aud].flat().map(String);
  if (audiences.length > 0 && !isForOneOf(shown, audiences)) {
    const found = shown.join('", "').slice(0, 300);
    const sides = `is for "${found}", expected "${audiences.join('" or "')}"`;
    return denial('ERR_JWT_AUDIENCE', `token ${sides}`);
  }
  const [, payload = ''] = text.split('.');
  return { ok: true, claims: verified.jwt.claims, payload };
}

/** Asked for once more where a token names a key that is not among them: it may have been made since. */
async function keysFor(
  rule: TokenRule,
  token: UnverifiedJwt,
  keys: TokenKeys,
): Promise<readonly VerifyingKey[] | Denial> {
  try {
    const known = await keys.keysOf(rule, false);
    return hasKeyFor(token, known) ? known : await keys.keysOf(rule, true);
  } catch (thrown) {
    return denial('ERR_JWT_KEYS', messageOf(thrown));
  }
}

/** As Envoy compares audiences: without the scheme, and without a slash at the end. */
function isForOneOf(shown: readonly string[], wanted: readonly string[]): boolean {
  const plain = (text: string) => text.replace(/^https?:\/\//, '').replace(/\/$/, '');
  const all = new Set(wanted.map(plain));
  return shown.some((each) => all.has(plain(each)));
}

/** A browser asks what it may ask, without a token (Fetch §4.8); Istio lets it through to the policies. */
function isPreflight({ method, rawHeaders }: TokenRequest): boolean {
  if (method !== 'OPTIONS') return false;
  return ['origin', 'access-control-request-method'].every((name) =>
    hasHeader(rawHeaders, name, (value) => value !== ''),
  );
}
