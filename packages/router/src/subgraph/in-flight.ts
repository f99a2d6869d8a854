interface Shared<T> {
  readonly outcome: Promise<T>;
  readonly giveUp: AbortController;
  waiting: number;
}

/**
 * Requests that are under way, so that an equal one takes the same answer. The request goes on for as long as anybody
 * waits for it, and no longer; nobody waits beyond a signal of its own.
 */
export class InFlight<T> {
  readonly #shared = new Map<string, Shared<T>>();

  get size(): number {
    return this.#shared.size;
  }

  /** Rejects as `send` does, and with the signal's reason. */
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
    const left = Promise.withResolvers<never>();
    const leave = () => {
      joined.waiting -= 1;
      if (joined.waiting === 0) joined.giveUp.abort(signal.reason);
      left.reject(signal.reason);
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    return Promise.race([joined.outcome, left.promise]).finally(() =>
      signal.removeEventListener('abort', leave),
    );
  }
}
