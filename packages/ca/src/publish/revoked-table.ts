import { type RevocationReason, revocationReasons } from '@countersign/x509';

export interface RevokedSince {
  /** Ms since the epoch, whole seconds: lists and answers say no more. */
  readonly at: number;
  readonly reason: RevocationReason;
}

const firstCapacity = 1024;
/** In the place of a reason. */
const released = 0xff;
/** Of the places: beyond it the table doubles. */
const fullest = 0.6;

/**
 * Since when and why certificates are revoked, by the position of their intents. An open hash table in typed arrays: a
 * million take some 30 MB, and a look-up no longer than with ten.
 */
export class RevokedTable {
  /** 0: free, which is no position. */
  #positions = new Float64Array(firstCapacity);
  #seconds = new Uint32Array(firstCapacity);
  #reasons = new Uint8Array(firstCapacity);
  #size = 0;
  /** Places, those of released ones too: look-ups of others go over them. */
  #taken = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * False where nothing changes: the first revocation of a certificate stands, but a hold gives way to one for good. Its
   * moment stays then: since that nobody could rely on the certificate.
   */
  add(position: number, at: number, reason: RevocationReason): boolean {
    if (this.#taken >= this.#positions.length * fullest) this.#grow();
    const place = this.#placeOf(position);
    const known = this.#reasons[place] ?? 0;
    const number = revocationReasons[reason];
    if (this.#positions[place] !== position) {
      this.#put(place, position, Math.floor(at / 1000), number);
      this.#taken += 1;
      this.#size += 1;
      return true;
    }
    if (known === released) {
      this.#put(place, position, Math.floor(at / 1000), number);
      this.#size += 1;
      return true;
    }
    if (known !== revocationReasons.certificateHold || known === number) return false;
    this.#reasons[place] = number;
    return true;
  }

  /** False where it was not on hold. */
  release(position: number): boolean {
    const place = this.#placeOf(position);
    const isHeld =
      this.#positions[place] === position &&
      this.#reasons[place] === revocationReasons.certificateHold;
    if (!isHeld) return false;
    this.#reasons[place] = released;
    this.#size -= 1;
    return true;
  }

  get(position: number): RevokedSince | undefined {
    const place = this.#placeOf(position);
    if (this.#positions[place] !== position || this.#reasons[place] === released) return undefined;
    const at = (this.#seconds[place] ?? 0) * 1000;
    return { at, reason: reasonByNumber[this.#reasons[place] ?? 0] ?? 'unspecified' };
  }

  /** Where it stands, or the free place where it would. */
  #placeOf(position: number): number {
    const mask = this.#positions.length - 1;
    let place = scatter(position) & mask;
    for (;;) {
      const found = this.#positions[place];
      if (found === position || found === 0) return place;
      place = (place + 1) & mask;
    }
  }

  #put(place: number, position: number, seconds: number, reason: number): void {
    this.#positions[place] = position;
    this.#seconds[place] = seconds;
    this.#reasons[place] = reason;
  }

  #grow(): void {
    const [positions, seconds, reasons] = [this.#positions, this.#seconds, this.#reasons];
    const capacity = positions.length * 2;
    this.#positions = new Float64Array(capacity);
    this.#seconds = new Uint32Array(capacity);
    this.#reasons = new Uint8Array(capacity);
    for (const [index, position] of positions.entries()) {
      if (position === 0) continue;
      this.#put(this.#placeOf(position), position, seconds[index] ?? 0, reasons[index] ?? 0);
    }
  }
}

const reasonByNumber: Readonly<Record<number, RevocationReason>> = Object.fromEntries(
  Object.entries(revocationReasons).map(([reason, number]) => [number, reason as RevocationReason]),
);

/** Positions follow each other; the low bits of a product do not. */
function scatter(position: number): number {
  const low = position >>> 0;
  const high = Math.floor(position / 2 ** 32);
  const mixed = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
