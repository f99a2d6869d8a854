import { decodeEscapes, normalizeEscapes, type PathReadings } from './request-path.ts';
import { compileTexts, parseTextPattern, type TextPattern } from './text-pattern.ts';

/** One pattern for paths, as each kind of reading is compared with it. */
export interface PathPattern {
  readonly base: TextPattern;
  readonly decoded: TextPattern;
  readonly written: string;
}

/**
 * Reads a path pattern, or says what is wrong with it as the end of a sentence. What no reading of a path can contain
 * is refused, since a DENY rule with it would quietly match nothing.
 */
export function parsePathPattern(written: string): PathPattern | string {
  const pattern = parseTextPattern(written);
  if (typeof pattern === 'string') return pattern;
  const { kind, text } = pattern;
  if ((kind === 'exact' || kind === 'prefix') && !/^\/|^$/.test(text)) {
    return 'does not begin with "/"';
  }
  const impossible = impossibleParts.find(({ found }) => found.test(text));
  if (impossible !== undefined) return impossible.reason;
  return {
    base: { ...pattern, text: normalizeEscapes(text) },
    decoded: { ...pattern, text: decodeEscapes(text) },
    written,
  };
}

/** How a list of path patterns, of which one must match, is asked. */
export interface PathMatcher {
  /** For DENY: whether some server could read the path as one that is meant. */
  mayMean(path: PathReadings): boolean;
  /** For ALLOW: whether every server reads the path as one that is meant. */
  surelyMeans(path: PathReadings): boolean;
}

export function compilePaths(patterns: readonly PathPattern[]): PathMatcher {
  const base = compileTexts(patterns.map((pattern) => pattern.base));
  const decoded = compileTexts(patterns.map((pattern) => pattern.decoded));
  return {
    mayMean: (path) => base.matches(path.base) || path.others.some(decoded.matches),
    surelyMeans: (path) => base.matches(path.base) && path.others.every(decoded.matches),
  };
}

const impossibleParts: readonly { readonly found: RegExp; readonly reason: string }[] = [
  { found: /\?/, reason: 'has a "?", the query is not part of the path' },
  { found: /#/, reason: 'has a "#", a request has no fragment' },
  { found: /;/, reason: 'has a ";", parameters of a path cannot be matched' },
  { found: /\\/, reason: 'has a backslash, which is compared as "/"' },
  { found: /\/\//, reason: 'has "//", which some servers read as "/"' },
  { found: /\/\.{1,2}(?:\/|$)/, reason: 'has a segment "." or "..", which is resolved first' },
  { found: /%(?![0-9a-fA-F]{2})/, reason: 'has a "%" that begins no escape such as "%20"' },
  { found: /%00|\0/, reason: 'has a zero byte, which is always refused' },
];
