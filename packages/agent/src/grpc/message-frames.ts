import { type CallStatus, callStatus } from './grpc-status.ts';

/** Flag, then the length in four bytes. */
const headBytes = 5;

/** A message as it stands in the body of a call: not compressed, which is told by a zero, its length before it. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + message.byteLength);
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, headBytes);
  return frame;
}

/** Finds the messages in the body of a call, however it is cut; keeps no more than has arrived of one of them. */
export class MessageReader {
  readonly #mostBytes: number;
  /** The beginning of a message, in the first bytes of a buffer that grows with it. */
  #kept: Buffer = Buffer.alloc(0);
  #keptBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Whether there is nothing of a message that has not ended. */
  get isAtEnd(): boolean {
    return this.#keptBytes === 0;
  }

  /**
   * The messages that this part completes. What they are read from is not kept or written again.
   *
   * @returns RESOURCE_EXHAUSTED for a message that is too long, INTERNAL for one that is compressed all the same
   */
  read(part: Buffer): readonly Uint8Array[] | CallStatus {
    const messages: Uint8Array[] = [];
    let rest = this.#keptBytes === 0 ? part : this.#keep(part);
    while (rest.byteLength >= headBytes) {
      if (rest[0] !== 0) {
        return callStatus('internal', 'a message is compressed, without an encoding agreed on');
      }
      const bytes = rest.readUInt32BE(1);
      if (bytes > this.#mostBytes) {
        const sides = `a message has ${bytes} bytes, at most ${this.#mostBytes} are read`;
        return callStatus('resourceExhausted', sides);
      }
      if (rest.byteLength < headBytes + bytes) break;
      messages.push(rest.subarray(headBytes, headBytes + bytes));
      rest = rest.subarray(headBytes + bytes);
    }
    // What was kept and has been read is given away with its messages.
    if (messages.length > 0 && this.#keptBytes > 0) this.#forget();
    if (this.#keptBytes === 0 && rest.byteLength > 0) this.#keep(rest);
    return messages;
  }

  /** Appends it to what is kept; the buffer doubles, so that a message in crumbs is not copied for each. */
  #keep(part: Buffer): Buffer {
    const bytes = this.#keptBytes + part.byteLength;
    if (bytes > this.#kept.byteLength) {
      const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#kept.byteLength));
      grown.set(this.#kept.subarray(0, this.#keptBytes));
      this.#kept = grown;
    }
    this.#kept.set(part, this.#keptBytes);
    this.#keptBytes = bytes;
    return this.#kept.subarray(0, bytes);
  }

  #forget(): void {
    this.#kept = Buffer.alloc(0);
    this.#keptBytes = 0;
  }
}
