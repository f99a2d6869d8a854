const units: readonly (readonly [string, number])[] = [
  ['y', 365 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];

/** A length of time for people, its two largest units: `2y 11d`, `3h 5m`, `0s`. A year is 365 days. */
export function roughDuration(ms: number): string {
  let left = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(left / size);
    if (count === 0 && parts.length === 0) continue;
    if (count > 0) parts.push(`${count}${unit}`);
    left -= count * size;
    if (parts.length === 2 || (parts.length === 1 && count === 0)) break;
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}

/** How a validity stands at a moment: `expires in 42m`, `expired 3d 2h ago`, `not valid for another 5m`. */
export function validityAt(notBefore: number, notAfter: number, now: number): string {
  if (now < notBefore) return `not valid for another ${roughDuration(notBefore - now)}`;
  if (now > notAfter) return `expired ${roughDuration(now - notAfter)} ago`;
  return `expires in ${roughDuration(notAfter - now)}`;
}
