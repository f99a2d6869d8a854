interface Shared<T> {
  readonly outcome: Promise<T>;
  readonly giveUp: AbortController;
  waiting: number;
}

/**
 * Requests that are under way, so that an equal one takes the same answer. The request goes on for as long as anybody
 * waits for it, and no longer.
 */
export class InFlight<T> {
  readonly #shared = new Map<string, Shared<T>>();

  get size(): number {
    return this.#shared.size;
  }

  share(key: string, signal: AbortSignal, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    let shared = this.#shared.get(key);
    if (shared === undefined || shared.giveUp.signal.aborted) {
      const giveUp = new AbortController();
      const started: Shared<T> = { giveUp, waiting: 0, outcome: send(giveUp.signal) };
      this.#shared.set(key, started);
      const forget = () => {
        if (this.#shared.get(key) === started) this.#shared.delete(key);
      };
      started.outcome.then(forget, forget);
      shared = started;
    }
    const joined = shared;
    joined.waiting += 1;
    const leave = () => {
      joined.waiting -= 1;
      if (joined.waiting === 0) joined.giveUp.abort(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    return joined.outcome.finally(() => signal.removeEventListener('abort', leave));
  }
}
