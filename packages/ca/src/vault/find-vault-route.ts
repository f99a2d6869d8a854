export interface FoundRoute<R> {
  readonly route: R;
  readonly names: Readonly<Record<string, string>>;
}

/** The first route in the order of the table that a path is of; `path` has no slash at its ends. */
export function findVaultRoute<R extends { readonly path: string }>(
  routes: readonly R[],
  path: string,
): FoundRoute<R> | undefined {
  const segments = path === '' ? [] : path.split('/');
  for (const route of routes) {
    const names = namesIn(route.path, segments);
    if (names !== undefined) return { route, names };
  }
  return undefined;
}

function namesIn(
  pattern: string,
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const names: Record<string, string> = {};
  const wanted = pattern === '' ? [] : pattern.split('/');
  for (const [i, each] of wanted.entries()) {
    const found = segments[i];
    if (found === undefined) return undefined;
    if (each.startsWith('*')) {
      names[each.slice(1)] = segments.slice(i).join('/');
      return names;
    }
    if (each.startsWith(':')) names[each.slice(1)] = found;
    else if (each !== found) return undefined;
  }
  return wanted.length === segments.length ? names : undefined;
}
