/**
 * How more obliging servers than Envoy read a path: decoded once, slashes merged, `;parameters` dropped. An upstream
 * may be one of them, so that "/orders%2Fadmin" and "/admin;x" are spellings that slip past a rule. Most paths have no
 * other reading.
 */
export function otherReadings(path: string): readonly string[] {
  if (!/[%\\;]|\/\//.test(path)) return none;
  const decoded = turnSlashes(decodeEscapes(path));
  const readings = new Set([
    removeDotSegments(decoded),
    removeDotSegments(mergeSlashes(decoded)),
    removeDotSegments(mergeSlashes(dropParameters(decoded))),
    removeDotSegments(mergeSlashes(turnSlashes(decodeEscapes(dropParameters(turnSlashes(path)))))),
  ]);
  readings.delete(path);
  return [...readings];
}

const none: readonly string[] = [];

/** Every escape decoded once, as UTF-8; what is no escape stays. */
function decodeEscapes(text: string): string {
  return text.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (run) =>
    Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'),
  );
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
export function removeDotSegments(path: string): string {
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
