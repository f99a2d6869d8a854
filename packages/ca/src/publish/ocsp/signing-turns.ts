/** Signatures in one turn of the event loop: what came in meanwhile waits no longer than these take. */
const eachTurn = 8;

/** Shares a thread between signing on demand and everything else: a burst waits in line instead of stopping the rest. */
export class SigningTurns {
  #taken = 0;
  #isScheduled = false;
  #waiting: (() => void)[] = [];

  /** Undefined: at once. */
  take(): Promise<void> | undefined {
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#next());
    }
    if (this.#taken < eachTurn && this.#waiting.length === 0) {
      this.#taken += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #next(): void {
    const served = this.#waiting.splice(0, eachTurn);
    this.#taken = served.length;
    this.#isScheduled = served.length > 0;
    if (this.#isScheduled) setImmediate(() => this.#next());
    for (const resolve of served) resolve();
  }
}
