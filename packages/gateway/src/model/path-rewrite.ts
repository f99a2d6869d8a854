import { RE2JS } from 're2js';
import type { PathMatch } from './request-match.ts';

export type PathRewrite = (path: string) => string;

export interface WrittenRewrite {
  /** What stands for the part of the path that the match covered. */
  readonly prefix?: string | undefined;
  readonly expression?: { readonly pattern: string; readonly substitution: string } | undefined;
}

/**
 * What a path becomes; undefined where it stays. As in Envoy, what an exact match or an expression covered is the whole
 * path, and a prefix may end within a segment. Unlike there, `/api/x` with `/api` made `/` is `/x` and not `//x`.
 *
 * @throws SyntaxError for an expression that is none
 */
export function pathRewrite(
  match: PathMatch,
  { prefix, expression }: WrittenRewrite,
): PathRewrite | undefined {
  if (expression !== undefined) {
    const compiled = RE2JS.compile(expression.pattern);
    const substitution = asReplacement(expression.substitution);
    return (path) => compiled.matcher(path).replaceAll(substitution);
  }
  if (prefix === undefined) return undefined;
  if (match.kind === 'exact' || match.kind === 'regex') return () => prefix;
  const covered = match.text.length;
  if (match.kind === 'prefix') return (path) => withOneSlash(prefix, path.slice(covered));
  return (path) => joined(prefix, path.slice(covered));
}

/** RE2 writes `\1` where the library writes `$1`, and has no meaning for a dollar. */
function asReplacement(substitution: string): string {
  return substitution.replaceAll(/\\([\d\\])|\$/g, (part, escaped: string | undefined) => {
    if (escaped === undefined) return '\\$';
    return escaped === '\\' ? part : `$${escaped}`;
  });
}

function withOneSlash(prefix: string, rest: string): string {
  return prefix.endsWith('/') && rest.startsWith('/')
    ? `${prefix}${rest.slice(1)}`
    : `${prefix}${rest}`;
}

/** Of whole segments: with one slash between them. */
function joined(prefix: string, rest: string): string {
  if (rest === '') return prefix;
  const plain = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
  return rest.startsWith('/') ? `${plain}${rest}` : `${plain}/${rest}`;
}
