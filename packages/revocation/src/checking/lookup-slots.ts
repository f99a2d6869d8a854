import { CountersignError } from '@countersign/base';

export interface SlotLimits {
  /** Look-ups under way at the same time. */
  readonly maxConcurrent: number;
  /** Of those, to one host: a server that does not answer must not hold up the questions to others. */
  readonly maxPerHost: number;
  /** Further ones that wait. */
  readonly maxWaiting: number;
}

interface Waiting {
  readonly host: string;
  readonly start: () => void;
}

/** Bounds how many look-ups are under way. Served in order, but for those whose host is busy. */
export class LookupSlots {
  readonly #limits: SlotLimits;
  readonly #perHost = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #taken = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * @returns the function that gives the slot back, to be called once
   * @throws CountersignError ERR_REVOCATION_BUSY where too many wait
   */
  async take(host: string): Promise<() => void> {
    if (this.#isFree(host)) return this.#occupy(host);
    if (this.#waiting.length >= this.#limits.maxWaiting) {
      const message = `ask "${host}": ${this.#waiting.length} look-ups wait, at most ${this.#limits.maxWaiting} may`;
      throw new CountersignError('ERR_REVOCATION_BUSY', message, { fields: { host } });
    }
    return new Promise((resolve) => {
      this.#waiting.push({ host, start: () => resolve(this.#occupy(host)) });
    });
  }

  #isFree(host: string): boolean {
    const { maxConcurrent, maxPerHost } = this.#limits;
    return this.#taken < maxConcurrent && (this.#perHost.get(host) ?? 0) < maxPerHost;
  }

  #occupy(host: string): () => void {
    this.#taken += 1;
    this.#perHost.set(host, (this.#perHost.get(host) ?? 0) + 1);
    return () => this.#release(host);
  }

  #release(host: string): void {
    this.#taken -= 1;
    const left = (this.#perHost.get(host) ?? 1) - 1;
    if (left > 0) this.#perHost.set(host, left);
    else this.#perHost.delete(host);
    const next = this.#waiting.findIndex((waiting) => this.#isFree(waiting.host));
    if (next !== -1) this.#waiting.splice(next, 1)[0]?.start();
  }
}
