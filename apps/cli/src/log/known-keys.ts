import { hash } from 'node:crypto';
import type { Clock } from '@countersign/base';
import { readIdentity } from '@countersign/identity';

/** What the owner of a name knows to be theirs. */
export interface OwnKeys {
  /** Serials and SHA-256 of keys, lowercase hex. */
  readonly words: readonly string[];
  /** An identity directory that renews itself. */
  readonly directory?: string | undefined;
  /** How long to look again: a log can tell of a renewal before its files are swapped in. */
  readonly graceMs: number;
}

/** Remembers every key that the identity directory has had since it began to look. */
export class KnownKeys {
  readonly #own: OwnKeys;
  readonly #clock: Clock;
  readonly #known: Set<string>;

  constructor(own: OwnKeys, clock: Clock) {
    this.#own = own;
    this.#clock = clock;
    this.#known = new Set(own.words);
  }

  /** Takes in what the directory holds now; what cannot be read now is read the next time. */
  async look(): Promise<void> {
    if (this.#own.directory === undefined) return;
    const identity = await readIdentity(this.#own.directory).catch(() => undefined);
    if (identity === undefined) return;
    this.#known.add(identity.svid.leaf.serialHex);
    this.#known.add(hash('sha256', identity.svid.leaf.spki.raw));
  }

  /** Whether the certificate is the owner's, looking again for a while where an identity may be about to change. */
  async knows(serial: string, key: string, signal: AbortSignal): Promise<boolean> {
    const until = this.#clock.monotonic() + this.#own.graceMs;
    for (;;) {
      await this.look();
      if (this.#known.has(serial) || this.#known.has(key)) return true;
      const isOver = this.#clock.monotonic() >= until || signal.aborted;
      if (isOver || this.#own.directory === undefined) return false;
      await this.#clock.sleep(250, { signal }).catch(() => {});
    }
  }
}
