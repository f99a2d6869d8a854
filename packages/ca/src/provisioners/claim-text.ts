/** A claim as text, where it is one value. */
export function textOf(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim;
  return typeof claim === 'number' || typeof claim === 'boolean' ? String(claim) : undefined;
}
