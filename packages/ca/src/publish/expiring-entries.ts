import { CrlEntryWriter, type RevokedCertificate } from '@countersign/x509';

/**
 * Entries of a list, encoded once and kept from one list to the next, apart by when their certificates expire: what is
 * over is let go of by the box, without a look at what stays.
 */
export class ExpiringEntries {
  readonly #boxMs: number;
  readonly #boxes = new Map<number, CrlEntryWriter>();

  /** @param boxMs how far apart the ends of certificates in one box may be: an entry stays so much longer than it must */
  constructor(boxMs: number) {
    this.#boxMs = boxMs;
  }

  add(entry: RevokedCertificate, notAfter: number): void {
    const box = Math.floor(notAfter / this.#boxMs);
    let writer = this.#boxes.get(box);
    if (writer === undefined) {
      writer = new CrlEntryWriter();
      this.#boxes.set(box, writer);
    }
    writer.add(entry);
  }

  /** Lets go of entries whose certificates had all expired by then. */
  dropExpired(at: number): void {
    for (const box of this.#boxes.keys()) {
      if ((box + 1) * this.#boxMs <= at) this.#boxes.delete(box);
    }
  }

  clear(): void {
    this.#boxes.clear();
  }

  get count(): number {
    let count = 0;
    for (const writer of this.#boxes.values()) count += writer.count;
    return count;
  }

  /** DER of the entries, in pieces. */
  get pieces(): readonly Uint8Array[] {
    return [...this.#boxes.values()].flatMap((writer) => writer.pieces);
  }
}
