import { CountersignError, concatBytes } from '@countersign/base';
import { type FeedFrame, maxFrameBytes, parseFeedLine } from './feed-frame.ts';

const lineFeed = 0x0a;

/**
 * Cuts chunks of any size into lines, keeping no more than one unfinished line of at most `maxLineBytes`.
 * Lines end in a line feed; an empty one is a line too, so that nothing is passed over in silence.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #parts: Uint8Array[] = [];
  #kept = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes of the line that has not ended yet. */
  get unfinished(): number {
    return this.#kept;
  }

  /**
   * The lines that this chunk ends, without their line feeds.
   * @throws CountersignError ERR_WIRE_TOO_LARGE once a line is over the limit, ended or not
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
      lines.push(this.#finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.byteLength) this.#keep(chunk.subarray(start));
    return lines;
  }

  #finish(last: Uint8Array): Uint8Array {
    this.#checkLength(last.byteLength);
    const line = this.#kept === 0 ? last : concatBytes(...this.#parts, last);
    this.#parts = [];
    this.#kept = 0;
    return line;
  }

  #keep(part: Uint8Array): void {
    this.#checkLength(part.byteLength);
    this.#kept += part.byteLength;
    // A copy: the chunk may be a view of a buffer that its owner uses again.
    this.#parts.push(part.slice());
    // Byte-wise senders must not make us hold thousands of parts.
    if (this.#parts.length >= 64) this.#parts = [concatBytes(...this.#parts)];
  }

  #checkLength(more: number): void {
    const length = this.#kept + more;
    if (length <= this.#maxLineBytes) return;
    throw new CountersignError(
      'ERR_WIRE_TOO_LARGE',
      `feed line has ${length} bytes or more, at most ${this.#maxLineBytes} are read`,
      { fields: { length, maxLineBytes: this.#maxLineBytes } },
    );
  }
}

/**
 * The frames of a feed response, each as soon as its line has ended. The first frame must be a hello, and no other.
 * Returns when the sender ends the stream between two frames.
 *
 * @throws CountersignError ERR_WIRE_FEED, ERR_WIRE_JSON, ERR_WIRE_UNKNOWN_MEMBER, ERR_WIRE_TOO_LARGE
 */
export async function* readFeed(body: AsyncIterable<Uint8Array>): AsyncGenerator<FeedFrame, void> {
  const splitter = new LineSplitter(maxFrameBytes);
  let first = true;
  for await (const chunk of body) {
    for (const line of splitter.push(chunk)) {
      const frame = parseFeedLine(line);
      if ((frame.type === 'hello') !== first) {
        throw broken(first ? `begins with a ${frame.type}, expected hello` : 'has a second hello');
      }
      first = false;
      yield frame;
    }
  }
  if (splitter.unfinished > 0) throw broken(`broke off ${splitter.unfinished} bytes into a frame`);
}

function broken(reason: string): CountersignError {
  return new CountersignError('ERR_WIRE_FEED', `feed ${reason}`);
}
