import { readFile, stat } from 'node:fs/promises';
import { type Clock, type Log, messageOf } from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  parseBundle,
  sameAuthorities,
  type TrustBundle,
} from '@countersign/spiffe';

export interface BundleFileOptions {
  readonly path: string;
  /** What is trusted whatever the file says: the anchor of the authority in this process. */
  readonly own: TrustBundle;
  /** How often the file is looked at; default 1,000. */
  readonly intervalMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The trust bundle of a file that others may add anchors to. What cannot be read leaves the anchors in force that there
 * are, and is logged once.
 */
export class BundleFile implements BundleSource, Changes {
  readonly #options: BundleFileOptions;
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  #bundle: TrustBundle;
  #seen = '';
  #failure = '';

  private constructor(options: BundleFileOptions) {
    this.#options = options;
    this.#bundle = options.own;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to the trust bundle failed');
    });
  }

  static async follow(options: BundleFileOptions): Promise<BundleFile> {
    const file = new BundleFile(options);
    await file.look();
    void file.#run();
    return file;
  }

  bundle(trustDomain: string): TrustBundle | undefined {
    return trustDomain === this.#bundle.trustDomain ? this.#bundle : undefined;
  }

  authorities() {
    return this.#bundle.authorities;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Reads the file now if it has changed. */
  async look(): Promise<void> {
    const { path, own, log } = this.#options;
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const seen = `${mtimeMs} ${size} ${ino}`;
      if (seen === this.#seen) return;
      const found = parseBundle(await readFile(path, 'utf8'), own.trustDomain);
      this.#seen = seen;
      this.#failure = '';
      const authorities = [...own.authorities, ...found.authorities];
      const next = parseBundle(concatDer(authorities.map(({ raw }) => raw)), own.trustDomain);
      if (sameAuthorities(next, this.#bundle)) return;
      this.#bundle = next;
      log.info({ path, anchors: next.authorities.length }, 'trust bundle changed');
      this.#changes.notify();
    } catch (thrown) {
      const failure = messageOf(thrown);
      if (failure === this.#failure) return;
      this.#failure = failure;
      log.error({ path, reason: failure }, 'trust bundle is not readable, the one before is kept');
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { clock, intervalMs = 1000 } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await clock.sleep(intervalMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.look();
    }
  }
}

function concatDer(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
