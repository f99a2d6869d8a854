/** Whether a path has a template operator, `{*}` or `{**}`; such a path is one template, and no prefix or suffix. */
export function isPathTemplate(path: string): boolean {
  return path.includes('{*}') || path.includes('{**}');
}

/**
 * What is wrong with a path by Istio's rules for templates, as the end of a sentence; they hold for every path: braces
 * mean something in none other.
 */
export function wrongWithPath(path: string): string | undefined {
  const isTemplate = isPathTemplate(path);
  let seenRest = false;
  for (const glob of path.replace(/^\/+|\/+$/g, '').split('/')) {
    const isOperator = glob === '{*}' || glob === '{**}';
    if (isOperator && seenRest) return 'has an operator after {**}, which must be the last';
    if (isOperator) seenRest = glob === '{**}';
    else if (/[{}]/.test(glob)) return 'has "{" or "}" beyond the operators {*} and {**}';
    else if (isTemplate && !/^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/.test(glob)) {
      return `has the segment "${glob}", which no template can have`;
    }
  }
  if (isTemplate && !path.startsWith('/')) return 'is a template that does not begin with "/"';
  return undefined;
}

/** As Envoy's URI templates are written. */
export function envoyTemplate(path: string): string {
  return path.replaceAll('{*}', '*').replaceAll('{**}', '**');
}

/**
 * A template as Envoy matches it: `{*}` is one segment that is not empty, `{**}` any rest. Both match only what RFC 3986
 * §3.3 lets a path have, so that "/t/[x" is no path of "/t/{**}".
 */
export function compilePathTemplate(path: string): (path: string) => boolean {
  const [one, rest] = ["[a-zA-Z0-9\\-._~%!$&'()+,;:@=*]+", "[a-zA-Z0-9\\-._~%!$&'()+,;:@=*/]*"];
  const source = path
    .split('/')
    .map((glob) => {
      if (glob === '{*}') return one;
      if (glob === '{**}') return rest;
      return glob.replaceAll(/[\\.+*?()|[\]{}^$]/g, '\\$&');
    })
    .join('/');
  const pattern = new RegExp(`^${source}$`);
  return (asked) => pattern.test(asked);
}
