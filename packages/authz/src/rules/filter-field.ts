import type { Permission, ValueMatcher } from '../envoy/rbac.ts';
import { claimAt, oneOfValues, shownClaim, textValue } from './claim-match.ts';
import type { RuleField } from './rule-field.ts';
import { compileTexts, type MatchesText, readTextMatch, stringMatcher } from './text-match.ts';

/**
 * What another filter left, `experimental.envoy.filters.<name>[<key>]`: a value matches a text, a value in brackets
 * (`[admin]`) an element of a list.
 */
export function filterField(name: string, filter: string, key: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: false,
    isOfRequest: true,
    compile(values) {
      const inLists = compileTexts(values.filter(isBracketed).map(trimmed).map(readTextMatch));
      const texts = compileTexts(values.filter((v) => !isBracketed(v)).map(readTextMatch));
      return (facts) => matchesValue(claimAt(facts.metadata(filter), [key]), texts, inLists);
    },
    envoy: (values) => ({
      metadata: { filter, path: [{ key }], value: oneOfValues(values.map(valueMatcher)) },
    }),
    found: (facts) => shownClaim(claimAt(facts.metadata(filter), [key])),
  };
}

function matchesValue(value: unknown, texts: MatchesText, inLists: MatchesText): boolean {
  if (typeof value === 'string') return texts(value);
  return Array.isArray(value) && value.some((each) => typeof each === 'string' && inLists(each));
}

function valueMatcher(value: string): ValueMatcher {
  if (!isBracketed(value)) return textValue(stringMatcher(readTextMatch(value)));
  return { listMatch: { oneOf: textValue(stringMatcher(readTextMatch(trimmed(value)))) } };
}

function isBracketed(value: string): boolean {
  return value.startsWith('[') && value.endsWith(']');
}

function trimmed(value: string): string {
  return value.replace(/^[[\]]+|[[\]]+$/g, '');
}
