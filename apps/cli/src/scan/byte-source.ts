/**
 * Bytes that are pulled: looked at before they are taken, taken in pieces, passed over. One reader at a time; a part that
 * was handed out as a stream is done with before the next call.
 */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #atEnd = false;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next `length` bytes without taking them; fewer at the end. */
  async peek(length: number): Promise<Buffer> {
    const parts = [this.#held];
    let size = this.#held.byteLength;
    while (size < length && !this.#atEnd) {
      const part = await this.#pull();
      if (part === undefined) break;
      parts.push(part);
      size += part.byteLength;
    }
    if (parts.length > 1) this.#held = Buffer.concat(parts, size);
    return this.#held.subarray(0, length);
  }

  /** Takes `length` bytes; fewer at the end. */
  async read(length: number): Promise<Buffer> {
    const taken = await this.peek(length);
    this.#held = this.#held.subarray(taken.byteLength);
    return taken;
  }

  /** Takes what comes next, at least one byte and at most `max`; undefined at the end. */
  async chunk(max = Number.POSITIVE_INFINITY): Promise<Buffer | undefined> {
    const part = this.#held.byteLength > 0 ? this.#held : await this.#pull();
    if (part === undefined) return undefined;
    const taken = part.subarray(0, max);
    this.#held = part.subarray(taken.byteLength);
    return taken;
  }

  /** Passes over `length` bytes. @returns how many there were */
  async skip(length: number): Promise<number> {
    let left = length;
    while (left > 0) {
      const part = await this.chunk(left);
      if (part === undefined) break;
      left -= part.byteLength;
    }
    return length - left;
  }

  /** What is left, as a stream. */
  async *rest(): AsyncGenerator<Buffer, void> {
    for (let part = await this.chunk(); part !== undefined; part = await this.chunk()) yield part;
  }

  /** Lets go of what it reads from. */
  async close(): Promise<void> {
    this.#atEnd = true;
    await this.#chunks.return?.();
  }

  async #pull(): Promise<Buffer | undefined> {
    while (!this.#atEnd) {
      const next = await this.#chunks.next();
      if (next.done === true) this.#atEnd = true;
      else if (next.value.byteLength > 0) {
        const { buffer, byteOffset, byteLength } = next.value;
        return Buffer.from(buffer, byteOffset, byteLength);
      }
    }
    return undefined;
  }
}
