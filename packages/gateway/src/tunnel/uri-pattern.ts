/**
 * Whether a URI is one that a pattern is for, as ghostunnel reads `--allow-uri` and `--verify-uri`: `*` stands for one
 * whole segment between slashes, `**` at the end for all that follows, nothing included. A slash at the end of either
 * is optional. Undefined where the pattern is none.
 */
export function uriPattern(pattern: string): ((uri: string) => boolean) | undefined {
  if (pattern === '**') return () => true;
  const segments = withoutLastSlash(pattern).split('/');
  const isOpen = segments.at(-1) === '**';
  const fixed = isOpen ? segments.slice(0, -1) : segments;
  if (pattern === '' || fixed.some((each) => each !== '*' && each.includes('*'))) return undefined;
  return (uri) => {
    const parts = (isOpen ? uri : withoutLastSlash(uri)).split('/');
    const isLong = isOpen ? parts.length >= fixed.length : parts.length === fixed.length;
    return isLong && fixed.every((each, i) => (each === '*' ? parts[i] !== '' : parts[i] === each));
  };
}

function withoutLastSlash(text: string): string {
  return text.length > 1 && text.endsWith('/') ? text.slice(0, -1) : text;
}
