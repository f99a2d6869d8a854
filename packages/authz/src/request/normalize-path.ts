import type { PathNormalization } from '../policy/mesh-settings.ts';
import { removeDotSegments } from './path-readings.ts';

/**
 * The path of a request target as Envoy normalises it before rules look at it, by MeshConfig's `pathNormalization`:
 * what rules are asked about, and what Envoy forwards. The query stays as it is.
 *
 * `BASE` (Istio's default) removes dot segments, `..;x` among them, turns backslashes, decodes unreserved characters
 * and encodes what a path cannot have; `MERGE_SLASHES` makes one slash of many as well; `DECODE_AND_MERGE_SLASHES`
 * decodes `%2F` and `%5C` first.
 *
 * @returns path and query, or what is wrong with the target, as the end of a sentence: Envoy answers 400
 */
export function normalizePath(
  target: string,
  normalization: PathNormalization,
): NormalizedPath | string {
  const mark = target.indexOf('?');
  const query = mark === -1 ? '' : target.slice(mark);
  const written = mark === -1 ? target : target.slice(0, mark);
  // Most paths are the same in every form, and most queries have nothing that they may not have.
  if (plainPath.test(written) && (query === '' || plainQuery.test(query))) {
    return { path: written, query };
  }
  if (!target.startsWith('/')) return 'does not begin with "/"';
  // RFC 9112 §3.2.1: a request target has no fragment.
  if (target.includes('#')) return 'has a fragment';
  if (/[^\x21-\x7e]/.test(target)) return 'has a character that must be percent-encoded';
  if (normalization === 'NONE') return { path: written, query };
  const slashed = normalization === 'DECODE_AND_MERGE_SLASHES' ? unescapeSlashes(written) : written;
  const path = canonicalize(slashed);
  if (path === undefined) return 'has an encoded zero byte';
  return { path: normalization === 'BASE' ? path : mergeSlashes(path), query };
}

export interface NormalizedPath {
  readonly path: string;
  /** With its `?`; empty where there is none. */
  readonly query: string;
}

const plainQuery = /^[\x21\x22\x24-\x7e]*$/;

/** Segments that no normalisation touches. */
const plainPath = /^(?=\/)(?:\/[\w~!$&'()*+,:=@-][\w.~!$&'()*+,:=@-]*)*\/?$/;

function unescapeSlashes(path: string): string {
  return path.replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '\\');
}

function mergeSlashes(path: string): string {
  return path.includes('//') ? path.replaceAll(/\/{2,}/g, '/') : path;
}

/** As browsers do, and before it what servers of Java take for dot segments: `/..;x/`. */
function canonicalize(path: string): string | undefined {
  const decoded = path
    .replaceAll(/\/(\.{1,2});[^/]*/g, '/$1')
    .replaceAll('\\', '/')
    .replaceAll(/%([0-9a-fA-F]{2})/g, decodeUnreserved)
    .replaceAll(/["<>^`{|}]/g, encode);
  return /%00/.test(decoded) ? undefined : removeDotSegments(decoded);
}

function decodeUnreserved(escaped: string, digits: string): string {
  const character = String.fromCharCode(Number.parseInt(digits, 16));
  return /[A-Za-z0-9._~-]/.test(character) ? character : escaped;
}

function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
