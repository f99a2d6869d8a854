import type { Readable } from 'node:stream';

/** A line without its end, or the sign that one was over the limit and was passed over. */
export type InputLine = { readonly text: string } | { readonly tooLong: true };

/**
 * The lines of a stream as they arrive, in batches: all that one chunk completed. The last needs no line end.
 * A line over `maxBytes` costs no more memory than that, and stands in its place as `tooLong`.
 */
export async function* inputLines(stream: Readable, maxBytes: number): AsyncGenerator<InputLine[]> {
  let parts: Buffer[] = [];
  let size = 0;
  let tooLong = false;
  const finished = (): InputLine => {
    const line: InputLine = tooLong
      ? { tooLong: true }
      : { text: Buffer.concat(parts).toString('utf8').replace(/\r$/, '') };
    parts = [];
    size = 0;
    tooLong = false;
    return line;
  };
  const take = (part: Buffer) => {
    size += part.length;
    tooLong ||= size > maxBytes;
    if (tooLong) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  for await (const chunk of stream) {
    const lines: InputLine[] = [];
    const bytes = Buffer.from(chunk);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      take(bytes.subarray(start, end));
      lines.push(finished());
      start = end + 1;
    }
    take(bytes.subarray(start));
    if (lines.length > 0) yield lines;
  }
  if (size > 0) yield [finished()];
}
