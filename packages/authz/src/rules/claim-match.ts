import type { StringMatcher, ValueMatcher } from '../envoy/rbac.ts';
import type { Claims } from './rule-facts.ts';
import { compileTexts, type MatchesText, readTextMatch, stringMatcher } from './text-match.ts';

/** The value at a path of keys; undefined where a key is missing, or what has it is no map. */
export function claimAt(claims: Claims | undefined, path: readonly string[]): unknown {
  let value: unknown = claims;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = Object.hasOwn(value, key) ? (value as Claims)[key] : undefined;
  }
  return value;
}

/** A text that matches, or a list with one; numbers, truth values and maps never do. */
export function matchesClaim(value: unknown, matches: MatchesText): boolean {
  if (typeof value === 'string') return matches(value);
  if (!Array.isArray(value)) return false;
  return value.some((each) => typeof each === 'string' && matches(each));
}

export function compileClaimValues(values: readonly string[]): MatchesText {
  return compileTexts(values.map(readTextMatch));
}

export function shownClaim(value: unknown): readonly string[] {
  if (value === undefined) return [];
  const list = Array.isArray(value) ? value : [value];
  return list.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
}

/** As Envoy's filter leaves a token's claims: those that hold words are lists of them. */
export function normalizeClaims(claims: Claims, spaceDelimited: readonly string[]): Claims {
  const words = [...spaceDelimited, 'scope', 'permission'].flatMap((name) => {
    const value = claims[name];
    return typeof value === 'string'
      ? [[name, value.split(' ').filter((word) => word !== '')]]
      : [];
  });
  return words.length === 0 ? claims : { ...claims, ...Object.fromEntries(words) };
}

/** One of the texts, or a list with one of them. */
export function listOrText(values: readonly string[]): ValueMatcher {
  const value = oneOfTexts(values);
  return { orMatch: { valueMatchers: [{ listMatch: { oneOf: value } }, value] } };
}

export function oneOfTexts(values: readonly string[]): ValueMatcher {
  return oneOfValues(values.map((value) => ({ stringMatch: stringMatcher(readTextMatch(value)) })));
}

export function oneOfValues(matchers: readonly ValueMatcher[]): ValueMatcher {
  const [only] = matchers;
  if (only !== undefined && matchers.length === 1) return only;
  return { orMatch: { valueMatchers: matchers } };
}

export function textValue(matcher: StringMatcher): ValueMatcher {
  return { stringMatch: matcher };
}
