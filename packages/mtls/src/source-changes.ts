import type { Changes } from '@countersign/spiffe';

/**
 * Calls `listener` when any of these sources that tell of changes changes.
 *
 * @returns the function that ends it
 */
export function followChanges(sources: readonly object[], listener: () => void): () => void {
  const ends = [...new Set(sources)]
    .filter((source): source is Changes => 'onChange' in source)
    .map((source) => source.onChange(listener));
  return () => {
    for (const end of ends) end();
  };
}
