import type { RevocationFrame } from '@countersign/wire';
import type { PositionRuns } from './covered-positions.ts';

/** What is known of one revocation. */
export type Entry = Pick<RevocationFrame, 'position' | 'reason' | 'at' | 'block' | 'until'>;

/** By what a certificate shows of itself. An issuer is told by the SHA-256 of its key. */
export type ShownBy = 'serial' | 'spiffe-id' | 'spiffe-prefix' | 'key' | 'issuer';

/** So many positions are looked up at once, however many revocations they are of. */
const mostSingle = 65_536;

interface Told {
  readonly by: RevocationFrame['by'];
  readonly value: string;
  readonly runs: PositionRuns;
  readonly entry: Entry;
}

/** Revocations of one strength, for good or on hold: a look-up a kind, whatever the size. */
export class RevokedNames {
  readonly shown: Readonly<Record<ShownBy, Map<string, Entry>>> = {
    serial: new Map(),
    'spiffe-id': new Map(),
    'spiffe-prefix': new Map(),
    key: new Map(),
    issuer: new Map(),
  };
  #told: Told[] = [];
  /** Of what was told and covers few, by position. */
  readonly #single = new Map<number, Told>();
  #large: Told[] = [];

  get isEmpty(): boolean {
    const { serial, key, issuer, 'spiffe-id': id, 'spiffe-prefix': prefix } = this.shown;
    return this.#told.length + serial.size + key.size + issuer.size + id.size + prefix.size === 0;
  }

  get hasTold(): boolean {
    return this.#told.length > 0;
  }

  /** How many distinct names and serials, without those that were told by position. */
  get size(): number {
    const shown = Object.values(this.shown).reduce((sum, { size }) => sum + size, 0);
    return shown + this.#told.length;
  }

  tell(told: Told): void {
    // One that is told anew covers more, and what it covered before.
    this.untell(told.by, told.value);
    this.#told.push(told);
    this.#add(told);
  }

  untell(by: RevocationFrame['by'], value: string): void {
    const others = this.#told.filter((each) => each.by !== by || each.value !== value);
    if (others.length === this.#told.length) return;
    this.#told = others;
    this.#single.clear();
    this.#large = [];
    for (const told of others) this.#add(told);
  }

  /** The one that was told to cover this position. */
  toldOf(position: number): Told | undefined {
    const single = this.#single.get(position);
    if (single !== undefined) return single;
    return this.#large.find(({ runs }) => runs.has(position));
  }

  #add(told: Told): void {
    const positions = told.runs.each(mostSingle - this.#single.size);
    if (positions === undefined) this.#large.push(told);
    for (const position of positions ?? []) this.#single.set(position, told);
  }
}
