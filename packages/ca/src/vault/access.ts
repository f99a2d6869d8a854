import type { Capability, PathRule } from './policy-document.ts';

/**
 * What rules let do at a path. Of those that fit it, the one that says most precisely which path it is about; several
 * of them with the same path count together, and `deny` beats all else.
 */
export function capabilitiesAt(rules: readonly PathRule[], path: string): ReadonlySet<Capability> {
  const fitting = rules.filter((rule) => fits(rule.path, path));
  const [first] = fitting.toSorted((a, b) => comparePrecision(a.path, b.path));
  const given = new Set<Capability>();
  for (const rule of fitting) {
    if (rule.path !== first?.path) continue;
    for (const each of rule.capabilities) given.add(each);
  }
  return given.has('deny') ? new Set(['deny']) : given;
}

/** Whether anything at all is let at or below a mount. */
export function reachesInto(rules: readonly PathRule[], mount: string): boolean {
  return rules.some(({ path, capabilities }) => {
    if (capabilities.size === 0 || capabilities.has('deny')) return false;
    const plain = path.split(/[*+]/)[0] ?? '';
    return plain.startsWith(mount) || (path !== plain && mount.startsWith(plain));
  });
}

function fits(pattern: string, path: string): boolean {
  const isOpen = pattern.endsWith('*');
  const written = isOpen ? pattern.slice(0, -1) : pattern;
  if (!written.includes('+')) return isOpen ? path.startsWith(written) : path === written;
  const wanted = written.split('/');
  const found = path.split('/');
  if (isOpen ? found.length < wanted.length : found.length !== wanted.length) return false;
  return wanted.every((segment, i) => {
    if (segment === '+') return true;
    const isLast = i === wanted.length - 1;
    return isOpen && isLast ? found[i]?.startsWith(segment) === true : found[i] === segment;
  });
}

/** Negative where `a` says more precisely what it is about. */
function comparePrecision(a: string, b: string): number {
  const wild = (path: string) => {
    const at = path.search(/[+*]/);
    return at === -1 ? Number.POSITIVE_INFINITY : at;
  };
  if (wild(a) !== wild(b)) return wild(b) > wild(a) ? 1 : -1;
  const isOpen = (path: string) => (path.endsWith('*') ? 1 : 0);
  if (isOpen(a) !== isOpen(b)) return isOpen(a) - isOpen(b);
  const pluses = (path: string) => path.split('/').filter((each) => each === '+').length;
  if (pluses(a) !== pluses(b)) return pluses(a) - pluses(b);
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? 1 : a > b ? -1 : 0;
}
