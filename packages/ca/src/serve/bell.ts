import type { Clock } from '@countersign/base';

/** A wake-up without lost wake-ups: note `rings`, look, then wait for a ring since. */
export class Bell {
  #rings = 0;
  readonly #waiting = new Set<() => void>();

  get rings(): number {
    return this.#rings;
  }

  ring(): void {
    this.#rings += 1;
    for (const wake of [...this.#waiting]) wake();
  }

  /**
   * Resolves at the first ring after `since`, after `ms`, or on abort, whichever is first. Never rejects.
   *
   * @param options.ref whether the process stays for it; default false, for what only goes on while others are served
   */
  async wait(
    since: number,
    ms: number,
    clock: Clock,
    signal?: AbortSignal,
    { ref = false }: { readonly ref?: boolean } = {},
  ): Promise<void> {
    if (this.#rings !== since || signal?.aborted === true) return;
    const over = new AbortController();
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve);
      over.signal.addEventListener('abort', () => this.#waiting.delete(resolve));
      signal?.addEventListener('abort', () => resolve(), { signal: over.signal });
      clock.sleep(ms, { signal: over.signal, ref }).then(resolve, () => {});
    });
    over.abort();
  }
}
