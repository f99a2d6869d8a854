/**
 * How Istio matches one text: exactly, by its beginning (`/api/*`), by its end (`*.json`), or whatever it is as long
 * as it is there (`*`).
 */
export interface TextPattern {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'present';
  /** Without the star; empty for `present`. */
  readonly text: string;
  /** As the policy has it, for messages. */
  readonly written: string;
}

/**
 * Reads a pattern, or says what is wrong with it as the end of a sentence. A star elsewhere is refused: Istio takes
 * it literally, so a DENY rule with one would quietly match nothing.
 */
export function parseTextPattern(written: string, scheme = ''): TextPattern | string {
  if (written === '') return 'is empty';
  if (written === '*') return { kind: 'present', text: '', written };
  const bare = written.startsWith(scheme) ? written.slice(scheme.length) : written;
  const atStart = bare.startsWith('*');
  const atEnd = bare.endsWith('*');
  const text = bare.slice(atStart ? 1 : 0, atEnd && bare.length > 1 ? -1 : undefined);
  if (text.includes('*') || (atStart && atEnd && bare.length > 1)) {
    return 'has a "*" that is neither its first character nor its last';
  }
  if (bare === '*') return { kind: 'prefix', text: '', written };
  if (atStart) return { kind: 'suffix', text, written };
  return { kind: atEnd ? 'prefix' : 'exact', text, written };
}

/** A list of patterns, of which one must match. */
export interface TextMatcher {
  matches(text: string): boolean;
  /** Whether a lone star is among them: anything that is there matches. */
  readonly hasPresent: boolean;
}

/** Exact texts are looked up, so that a list of many names costs one look; the others are tried in order. */
export function compileTexts(patterns: readonly TextPattern[]): TextMatcher {
  const textsOf = (kind: TextPattern['kind']) =>
    patterns.filter((pattern) => pattern.kind === kind).map(({ text }) => text);
  const exact = new Set(textsOf('exact'));
  const prefixes = textsOf('prefix');
  const suffixes = textsOf('suffix');
  const hasPresent = textsOf('present').length > 0;
  return {
    hasPresent,
    matches: (text) =>
      // Envoy's regular expression for a lone star is ".+".
      (hasPresent && text !== '') ||
      exact.has(text) ||
      prefixes.some((prefix) => text.startsWith(prefix)) ||
      suffixes.some((suffix) => text.endsWith(suffix)),
  };
}
