/** What live sources have in addition: news that the next question may be answered differently. */
export interface Changes {
  /** @returns the function that ends the subscription; calling it twice is harmless */
  onChange(listener: () => void): () => void;
}

/**
 * The {@link Changes} of a live source. A listener can break neither the source nor the other listeners: what it
 * throws, or rejects with, goes to `onListenerError`.
 */
export class ChangeSignal implements Changes {
  readonly #listeners = new Set<{ readonly call: () => void }>();
  readonly #onListenerError: (thrown: unknown) => void;

  /** @param onListenerError told what listeners throw; most often a log line. It must not throw itself. */
  constructor(onListenerError: (thrown: unknown) => void) {
    this.#onListenerError = onListenerError;
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  onChange(listener: () => void): () => void {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Calls every listener in order of subscription; those that subscribe meanwhile hear the next change. */
  notify(): void {
    for (const entry of [...this.#listeners]) {
      if (this.#listeners.has(entry)) this.#tell(entry.call);
    }
  }

  #tell(listener: () => unknown): void {
    try {
      const returned = listener();
      if (returned instanceof Promise) returned.catch(this.#onListenerError);
    } catch (thrown) {
      this.#onListenerError(thrown);
    }
  }
}
