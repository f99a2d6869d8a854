import type { StringMatcher } from '../envoy/rbac.ts';

/**
 * How Istio matches one text: exactly, by its beginning (`/api/*`), by its end (`*.json`), or whatever it is as long
 * as it is there (`*`). A star elsewhere is a star.
 */
export interface TextMatch {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'present';
  /** Without the star; empty for `present`. */
  readonly text: string;
}

export function readTextMatch(written: string): TextMatch {
  if (written === '*') return { kind: 'present', text: '' };
  if (written.startsWith('*')) return { kind: 'suffix', text: written.slice(1) };
  if (written.endsWith('*')) return { kind: 'prefix', text: written.slice(0, -1) };
  return { kind: 'exact', text: written };
}

export type MatchesText = (text: string) => boolean;

/**
 * One of several. Exact texts are looked up, so that a list of many names costs one look; the others are tried in
 * order. An empty text is none, as Envoy's `.+` has it.
 */
export function compileTexts(matches: readonly TextMatch[]): MatchesText {
  const textsOf = (kind: TextMatch['kind']) =>
    matches.filter((match) => match.kind === kind).map(({ text }) => text);
  const exact = new Set(textsOf('exact'));
  const prefixes = textsOf('prefix');
  const suffixes = textsOf('suffix');
  if (textsOf('present').length > 0) {
    return (text) => text !== '' || exact.has(text);
  }
  const [only] = matches;
  if (matches.length === 1 && only !== undefined) return compileOne(only);
  if (prefixes.length === 0 && suffixes.length === 0) return (text) => exact.has(text);
  return function matchesOne(text) {
    if (exact.has(text)) return true;
    for (const prefix of prefixes) if (text.startsWith(prefix)) return true;
    for (const suffix of suffixes) if (text.endsWith(suffix)) return true;
    return false;
  };
}

/** Most lists have one, which needs no list. */
function compileOne({ kind, text: pattern }: TextMatch): MatchesText {
  if (kind === 'prefix') return (text) => text.startsWith(pattern);
  if (kind === 'suffix') return (text) => text.endsWith(pattern);
  return (text) => text === pattern;
}

/** As Envoy is told. It takes no empty prefix or suffix, which `present` is for. */
export function stringMatcher(match: TextMatch): StringMatcher {
  if (match.kind === 'present') return { safeRegex: { regex: '.+' } };
  return { [match.kind]: match.text };
}

/** Go's `regexp.QuoteMeta`, with which Istio writes what is no pattern into a regular expression. */
export function quoteRegex(text: string): string {
  return text.replaceAll(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}
