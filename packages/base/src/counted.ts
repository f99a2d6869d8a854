/** A number of things in a sentence: `1 entry`, `2 entries`. @param many `${one}s` unless given */
export function counted(count: number | bigint, one: string, many = `${one}s`): string {
  return `${count} ${Number(count) === 1 ? one : many}`;
}
