import { rotated, xxHash64 } from './xx-hash.ts';

export interface RingMember {
  /** What its places on the ring are made of: `address:port`. */
  readonly key: string;
  readonly weight: number;
}

export interface RingSize {
  readonly minSize: number;
  readonly maxSize: number;
}

/**
 * A ketama ring as Envoy builds it: each member has places in proportion to its weight. One that comes or goes moves its
 * own share of the requests, and a few others', since the others then have a few places more or less.
 */
export class HashRing<T extends RingMember> {
  /** Ascending. */
  readonly #places: BigUint64Array;
  readonly #owners: Uint32Array;
  readonly #members: readonly T[];

  constructor(members: readonly T[], size: RingSize) {
    this.#members = members;
    const placed = placesOf(members, size);
    this.#places = BigUint64Array.from(placed, ({ place }) => place);
    this.#owners = Uint32Array.from(placed, ({ owner }) => owner);
  }

  /** The member that a hash belongs to, passing over those that are not taken where others are. */
  at(hash: bigint, isTaken: (member: T) => boolean = () => true): T | undefined {
    const from = this.#firstFrom(hash);
    const { length } = this.#owners;
    for (let i = 0; i < length; i += 1) {
      const member = this.#members[this.#owners[(from + i) % length] ?? 0];
      if (member !== undefined && isTaken(member)) return member;
    }
    return this.#members[this.#owners[from % length] ?? 0];
  }

  /** Index of the first place that is not before the hash; beyond the last is the first again. */
  #firstFrom(hash: bigint): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle] ?? 0n) < hash) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One hash of several; none where there is none. Turned, so that two that are the same do not cancel each other. */
export function combinedHash(before: bigint | undefined, next: bigint): bigint {
  return (before === undefined ? 0n : rotated(before, 1n)) ^ next;
}

interface Place {
  readonly place: bigint;
  readonly owner: number;
}

/** Envoy's `RingHashLoadBalancer::Ring`: sums that run over all members keep the shares exact. */
function placesOf(members: readonly RingMember[], { minSize, maxSize }: RingSize): Place[] {
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const least = Math.min(...members.map(({ weight }) => weight / total));
  const scale = Math.min(Math.ceil(least * minSize) / least, maxSize);
  const places: Place[] = [];
  let wanted = 0;
  for (const [owner, { key, weight }] of members.entries()) {
    wanted += scale * (weight / total);
    for (let i = 0; places.length < wanted; i += 1) {
      places.push({ place: xxHash64(`${key}_${i}`), owner });
    }
  }
  return places.sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0));
}
