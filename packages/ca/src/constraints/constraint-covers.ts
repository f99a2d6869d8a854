import { constraintAgainst, type GeneralName } from '@countersign/x509';
import { isWithin } from '../dns-name.ts';

/** Whether every name of one constraint is a name of another, of the same kind. */
export function covers(outer: GeneralName, inner: GeneralName): boolean {
  if (outer.kind !== inner.kind) return false;
  return coverings[outer.kind]?.(outer as never, inner as never) ?? false;
}

type Covering<K extends GeneralName['kind']> = (
  outer: Extract<GeneralName, { kind: K }>,
  inner: Extract<GeneralName, { kind: K }>,
) => boolean;

/** A row a kind that constraints are written in. */
const coverings: { readonly [K in GeneralName['kind']]?: Covering<K> } = {
  dns: (outer, inner) => isWithin(inner.value, outer.value),
  uri: (outer, inner) => isScopeWithin(inner.value, outer.value),
  email(outer, inner) {
    if (inner.value.includes('@')) {
      const permitted = { permitted: [{ base: outer }], excluded: [] };
      return constraintAgainst(inner, permitted) === undefined;
    }
    return !outer.value.includes('@') && isScopeWithin(inner.value, outer.value);
  },
  ip(outer, inner) {
    const half = outer.bytes.byteLength / 2;
    if (inner.bytes.byteLength !== half * 2) return false;
    const [base, mask] = [outer.bytes.subarray(0, half), outer.bytes.subarray(half)];
    return mask.every(
      (octet, i) =>
        ((inner.bytes[half + i] ?? 0) & octet) === octet &&
        ((inner.bytes[i] ?? 0) & octet) === (base[i] ?? 0),
    );
  },
  // The inner one's relative names begin with the outer one's.
  directory(outer, inner) {
    const permitted = { permitted: [{ base: outer }], excluded: [] };
    return constraintAgainst(inner, permitted) === undefined;
  },
};

/** `host` is that host alone, `.domain` every host below it. */
function isScopeWithin(inner: string, outer: string): boolean {
  const [small, large] = [inner.toLowerCase(), outer.toLowerCase()];
  if (small === large) return true;
  return large.startsWith('.') && small.endsWith(large);
}
