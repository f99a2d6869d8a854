/** How koffi, or a test in its place, tells where bytes of JavaScript are. */
export type AddressOf = (bytes: Uint8Array) => bigint;

export interface Attribute {
  readonly type: bigint;
  readonly value: Uint8Array;
}

/** CK_ULONG, little-endian as on every machine that we load modules on. */
export function ulong(value: bigint | number): Uint8Array {
  const bytes = new Uint8Array(ulongBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

export const ckTrue = Uint8Array.of(1);
export const ckFalse = Uint8Array.of(0);
export const ulongBytes = 8;

/**
 * The memory of one call into a module. JavaScript owns it, so that nothing is leaked; it must be kept until the call
 * has returned, however long ago we gave up waiting, and is wiped then: PINs pass through it.
 */
export class CallMemory {
  readonly #addressOf: AddressOf;
  readonly #blocks: Uint8Array[] = [];

  constructor(addressOf: AddressOf) {
    this.#addressOf = addressOf;
  }

  /** A copy of `content`, which the module may read and write. */
  bytes(content: Uint8Array): { readonly pointer: bigint; readonly view: Uint8Array } {
    // An ArrayBuffer of its own: the elements of a small typed array could be moved by the collector.
    const view = new Uint8Array(new ArrayBuffer(Math.max(1, content.byteLength)));
    view.set(content);
    this.#blocks.push(view);
    return { pointer: this.#addressOf(view), view };
  }

  /** Room for `length` bytes. */
  room(length: number): { readonly pointer: bigint; readonly view: Uint8Array } {
    return this.bytes(new Uint8Array(length));
  }

  /** A CK_ULONG that the module reads or writes. */
  number(value: bigint | number = 0): { readonly pointer: bigint; read(): bigint } {
    const { pointer, view } = this.bytes(ulong(value));
    return { pointer, read: () => readUlong(view, 0) };
  }

  /** CK_MECHANISM. */
  mechanism(type: bigint, parameter?: Uint8Array): bigint {
    const at = parameter === undefined ? 0n : this.bytes(parameter).pointer;
    return this.struct(type, at, BigInt(parameter?.byteLength ?? 0)).pointer;
  }

  /** An array of CK_ATTRIBUTE with the values beside. */
  template(attributes: readonly Attribute[]): {
    readonly pointer: bigint;
    readonly count: bigint;
    /** The value after the call, or undefined where the module does not tell it. */
    value(index: number): Uint8Array | undefined;
  } {
    const values = attributes.map(({ value }) => this.bytes(value));
    const words = attributes.flatMap(({ type, value }, index) => [
      type,
      values[index]?.pointer ?? 0n,
      BigInt(value.byteLength),
    ]);
    const { pointer, view } = this.struct(...words);
    return {
      pointer,
      count: BigInt(attributes.length),
      value(index) {
        const room = attributes[index]?.value.byteLength ?? 0;
        const length = readUlong(view, (index * 3 + 2) * ulongBytes);
        if (length > BigInt(room)) return undefined;
        return values[index]?.view.slice(0, Number(length));
      },
    };
  }

  /** A run of words: CK_ULONGs and pointers. */
  struct(...words: readonly bigint[]): { readonly pointer: bigint; readonly view: Uint8Array } {
    const content = new Uint8Array(words.length * ulongBytes);
    const data = new DataView(content.buffer);
    for (const [index, word] of words.entries()) {
      data.setBigUint64(index * ulongBytes, word, true);
    }
    return this.bytes(content);
  }

  wipe(): void {
    for (const block of this.#blocks) block.fill(0);
  }
}

export function readUlong(view: Uint8Array, offset: number): bigint {
  return new DataView(view.buffer, view.byteOffset, view.byteLength).getBigUint64(offset, true);
}
