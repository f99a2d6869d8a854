/** What is done to the headers of a message: what is removed, then what is set, then what is added beside others. */
export interface HeaderOperations {
  /** Lowercase. */
  readonly remove: readonly string[];
  /** Instead of whatever is there under the name. */
  readonly set: readonly HeaderLine[];
  /** Beside whatever is there under the name. */
  readonly add: readonly HeaderLine[];
  /** Only where nothing is there under the name. */
  readonly addIfAbsent?: readonly HeaderLine[];
}

export type HeaderLine = readonly [name: string, value: string];

/** @param headers names and values alternating; changed in place */
export function operateOnHeaders(headers: string[], operations: readonly HeaderOperations[]): void {
  for (const { remove, set, add, addIfAbsent = [] } of operations) {
    for (const name of remove) removeHeader(headers, name);
    for (const [name, value] of set) {
      removeHeader(headers, name.toLowerCase());
      headers.push(name, value);
    }
    for (const [name, value] of add) headers.push(name, value);
    for (const [name, value] of addIfAbsent) {
      if (!hasHeader(headers, name.toLowerCase())) headers.push(name, value);
    }
  }
}

/** Sets the host that the upstream is told. @param headers names and values alternating; changed in place */
export function setHost(headers: string[], host: string): void {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== 'host') continue;
    headers[i + 1] = host;
    return;
  }
  headers.unshift('Host', host);
}

/** The same with lines after all else. */
export function withLines(
  operations: readonly HeaderOperations[],
  lines: readonly HeaderLine[],
): readonly HeaderOperations[] {
  if (lines.length === 0) return operations;
  return [...operations, { remove: [], set: [], add: lines }];
}

function hasHeader(headers: readonly string[], name: string): boolean {
  return headers.some((each, i) => i % 2 === 0 && each.toLowerCase() === name);
}

function removeHeader(headers: string[], name: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]?.toLowerCase() === name) headers.splice(i, 2);
  }
}
