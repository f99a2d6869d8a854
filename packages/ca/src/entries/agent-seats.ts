import { type Denial, denial } from '@countersign/base';

const most = 8192;
/** One process needs one; a second may come before the first is known to be gone. */
const mostEach = 16;

/** A bounded number of watches, and of one agent few: each is an open connection that is looked after. */
export class AgentSeats {
  readonly #taken = new Map<string, number>();
  #count = 0;

  /** Denials: ERR_API_FEED_LIMIT. `leave` may be called more than once. */
  take(agent: string): { readonly ok: true; leave(): void } | Denial {
    const taken = this.#taken.get(agent) ?? 0;
    if (taken >= mostEach || this.#count >= most) {
      const detail = `${taken} watches of "${agent}" and ${this.#count} in all are open, at most ${mostEach} and ${most}`;
      return denial('ERR_API_FEED_LIMIT', detail);
    }
    this.#taken.set(agent, taken + 1);
    this.#count += 1;
    let isTaken = true;
    return {
      ok: true,
      leave: () => {
        if (!isTaken) return;
        isTaken = false;
        this.#count -= 1;
        const left = (this.#taken.get(agent) ?? 1) - 1;
        if (left === 0) this.#taken.delete(agent);
        else this.#taken.set(agent, left);
      },
    };
  }
}
