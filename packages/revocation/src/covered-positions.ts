import { CountersignError } from '@countersign/base';
import type { CoveredFrame } from '@countersign/wire';

/** Ten million runs or so: who sends more is not believed. */
const mostPages = 25_000;

/** What came ahead of a revocation or a question, until that comes. */
export class CoveredPages {
  #runs: (readonly number[])[] = [];
  #last = 0;

  /**
   * The first page begins anew: what broke off before is sent again.
   *
   * @throws CountersignError ERR_REVOCATION_GAP
   */
  add({ page, runs }: CoveredFrame): void {
    if (page === 0) this.clear();
    if (page !== this.#runs.length || page >= mostPages) {
      const sides = `page ${page} of covered certificates came, expected ${this.#runs.length}`;
      throw new CountersignError('ERR_REVOCATION_GAP', sides, { fields: { page } });
    }
    const [first] = runs;
    if (first !== undefined && first <= this.#last) {
      const sides = `page ${page} of covered certificates begins with ${first}, the one before it ends with ${this.#last}`;
      throw new CountersignError('ERR_REVOCATION_GAP', sides, { fields: { page } });
    }
    this.#runs.push(runs);
    this.#last = runs.at(-1) ?? this.#last;
  }

  clear(): void {
    this.#runs = [];
    this.#last = 0;
  }

  get count(): number {
    return this.#runs.length;
  }

  /** All of them as one, which are gone here then. */
  take(): PositionRuns {
    const runs = new PositionRuns(this.#runs);
    this.clear();
    return runs;
  }
}

/** Positions as first and last of runs that ascend; a look-up halves them again and again. */
export class PositionRuns {
  readonly #ends: Float64Array;

  constructor(pages: readonly (readonly number[])[]) {
    this.#ends = new Float64Array(pages.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const page of pages) {
      this.#ends.set(page, at);
      at += page.length;
    }
  }

  has(position: number): boolean {
    const ends = this.#ends;
    let low = 0;
    let high = ends.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[2 * middle + 1] ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return low < ends.length / 2 && (ends[2 * low] ?? 0) <= position;
  }

  /** Each of them, where there are no more than so many; undefined otherwise. */
  each(most: number): number[] | undefined {
    const positions: number[] = [];
    for (let run = 0; run < this.#ends.length; run += 2) {
      const [first = 1, last = 0] = this.#ends.subarray(run, run + 2);
      if (last - first >= most - positions.length) return undefined;
      for (let position = first; position <= last; position += 1) positions.push(position);
    }
    return positions;
  }
}
