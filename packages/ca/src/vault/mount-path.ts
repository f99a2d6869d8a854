import { routes } from '@countersign/wire';

/** First segments below `/v1` that are the authority's own API. */
const ownSegments: ReadonlySet<string> = new Set(
  Object.values(routes).flatMap(({ path }) => {
    const [, version, first] = path.split('/');
    return version === 'v1' && first !== undefined ? [first.split('.')[0] ?? first, first] : [];
  }),
);

/** Mounts that every server of that API has. */
const theirs: ReadonlySet<string> = new Set(['sys', 'auth', 'identity', 'cubbyhole']);

/** Whether a path below `/v1` is the authority's own and no mount's. */
export function isOwnPath(first: string): boolean {
  return ownSegments.has(first);
}

/** What is wrong with the path of a mount, which has no slashes at its ends; undefined where nothing is. */
export function wrongWithMountPath(path: string): string | undefined {
  if (
    path.length > 128 ||
    !/^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}$/.test(path)
  ) {
    return 'is not made of up to four segments of letters, digits, "_", "-" and "."';
  }
  const [first = ''] = path.split('/');
  if (theirs.has(first)) return `is below "${first}/", which is the server's own`;
  return isOwnPath(first) ? `is below "/v1/${first}", which is the authority's own API` : undefined;
}
