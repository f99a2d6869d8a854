/**
 * The ways in which servers read the path of a request. A DENY rule applies where one of them matches, an ALLOW rule
 * only where all do; so no spelling slips past a DENY or into an ALLOW, whatever the upstream makes of it.
 */
export interface PathReadings {
  /**
   * As Istio reads it by default (`pathNormalization: BASE`): dot segments removed, backslashes turned, unreserved
   * characters decoded; escaped slashes and double slashes left as they are. A gateway forwards this one.
   */
  readonly base: string;
  /** How more obliging servers read it: decoded once, slashes merged, `;parameters` dropped. Most often empty. */
  readonly others: readonly string[];
}

/**
 * Reads the path of a request target; its query is no part of it.
 *
 * @param target origin form (`/a/b?c`), or `*` as OPTIONS has it
 * @returns the readings, or what is wrong, as the end of a sentence
 */
export function readPath(target: string): PathReadings | string {
  if (target === '*') return { base: '*', others: [] };
  if (!target.startsWith('/')) return 'does not begin with "/"';
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  // Most paths are read alike by all, and need no new strings.
  if (!/[%\\;#\0]|\/\/|\/\./.test(path)) return { base: path, others: [] };
  // RFC 9112 §3.2.1: a request target has no fragment; servers that get one cut it or do not.
  if (path.includes('#')) return 'has a fragment';
  // A server in C ends its text at a zero byte, so "/admin%00.png" would be two paths.
  if (/%00|\0/.test(path)) return 'has a zero byte';
  const base = removeDotSegments(turnSlashes(normalizeEscapes(path)));
  const others = new Set(obligingReadings(path));
  others.delete(base);
  return { base, others: [...others] };
}

/** As the `base` reading compares it: what a pattern needs so that its escapes match those of a request. */
export function normalizeEscapes(text: string): string {
  // RFC 3986 §6.2.2: escaped unreserved characters are equivalent to themselves, and hex digits have no case.
  return text.replaceAll(/%([0-9a-fA-F]{2})/g, (escaped, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : escaped.toUpperCase();
  });
}

/** As the other readings compare it: every escape decoded once, as UTF-8; what is no escape stays. */
export function decodeEscapes(text: string): string {
  return text.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (run) =>
    Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}

function obligingReadings(path: string): string[] {
  const decoded = turnSlashes(decodeEscapes(path));
  return [
    removeDotSegments(decoded),
    removeDotSegments(mergeSlashes(decoded)),
    removeDotSegments(mergeSlashes(dropParameters(decoded))),
    removeDotSegments(mergeSlashes(turnSlashes(decodeEscapes(dropParameters(turnSlashes(path)))))),
  ];
}

function turnSlashes(path: string): string {
  return path.replaceAll('\\', '/');
}

function mergeSlashes(path: string): string {
  return path.replaceAll(/\/{2,}/g, '/');
}

function dropParameters(path: string): string {
  return path.replaceAll(/;[^/]*/g, '');
}

// RFC 3986 §5.2.4, for a path that begins with "/".
function removeDotSegments(path: string): string {
  if (!path.includes('/.')) return path;
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    const isDots = segment === '.' || segment === '..';
    if (segment === '..') kept.pop();
    if (!isDots) kept.push(segment);
    else if (index === segments.length - 1) kept.push('');
  }
  return `/${kept.join('/')}`;
}
