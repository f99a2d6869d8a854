import { CrlEntryWriter, type RevokedCertificate } from '@countersign/x509';

/**
 * Entries of a list, encoded once and kept from one list to the next, apart by when their certificates expire: what is
 * over is let go of by the box, without a look at what stays. Those on hold are apart too, for they may go any time.
 */
export class ExpiringEntries {
  readonly #boxMs: number;
  readonly #boxes = new Map<number, CrlEntryWriter>();
  /** By serial. */
  readonly #held = new Map<string, { readonly entry: RevokedCertificate; readonly box: number }>();

  /** @param boxMs how far apart the ends of certificates in one box may be: an entry stays so much longer than it must */
  constructor(boxMs: number) {
    this.#boxMs = boxMs;
  }

  add(entry: RevokedCertificate, notAfter: number): void {
    const box = Math.floor(notAfter / this.#boxMs);
    this.#held.delete(entry.serialHex);
    if (entry.reason === 'certificateHold') {
      this.#held.set(entry.serialHex, { entry, box });
      return;
    }
    let writer = this.#boxes.get(box);
    if (writer === undefined) {
      writer = new CrlEntryWriter();
      this.#boxes.set(box, writer);
    }
    writer.add(entry);
  }

  /** One that was on hold. */
  release(serialHex: string): void {
    this.#held.delete(serialHex);
  }

  /** Lets go of entries whose certificates had all expired by then. */
  dropExpired(at: number): void {
    for (const box of this.#boxes.keys()) {
      if ((box + 1) * this.#boxMs <= at) this.#boxes.delete(box);
    }
    for (const [serialHex, { box }] of this.#held) {
      if ((box + 1) * this.#boxMs <= at) this.#held.delete(serialHex);
    }
  }

  clear(): void {
    this.#boxes.clear();
    this.#held.clear();
  }

  get count(): number {
    let count = this.#held.size;
    for (const writer of this.#boxes.values()) count += writer.count;
    return count;
  }

  /** DER of the entries, in pieces. */
  get pieces(): readonly Uint8Array[] {
    const held = new CrlEntryWriter();
    for (const { entry } of this.#held.values()) held.add(entry);
    return [...this.#boxes.values(), held].flatMap((writer) => writer.pieces);
  }
}
