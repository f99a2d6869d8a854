import { readFile, stat } from 'node:fs/promises';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import { ChangeSignal, type Changes } from '@countersign/spiffe';
import type { FileOrText } from '../model/credential-model.ts';

export interface FollowedFilesOptions<T> {
  /** For messages. */
  readonly name: string;
  readonly sources: readonly FileOrText[];
  /** What the files mean, in the order of the sources; it throws for what cannot be used. */
  readonly read: (files: readonly Buffer[]) => T;
  /** How often it is looked whether they have changed; every second unless given. */
  readonly lookEveryMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

const usualIntervalMs = 1000;

/**
 * What files mean, read again when one of them has changed. What cannot be read or used leaves in force what there is,
 * and is told once: files that belong together are seldom written in the same moment.
 */
export class FollowedFiles<T> implements Changes {
  readonly #options: FollowedFilesOptions<T>;
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  #value: T;
  #seen: string;
  #failure = '';

  private constructor(options: FollowedFilesOptions<T>, value: T, seen: string) {
    this.#options = options;
    this.#value = value;
    this.#seen = seen;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to files failed');
    });
  }

  /** @throws CountersignError ERR_FILE, and what `read` throws */
  static async follow<T>(options: FollowedFilesOptions<T>): Promise<FollowedFiles<T>> {
    const seen = await stateOf(options.sources);
    const files = new FollowedFiles(options, options.read(await bytesOf(options.sources)), seen);
    if (options.sources.some((each) => 'file' in each)) void files.#run();
    return files;
  }

  get value(): T {
    return this.#value;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Reads the files now if one has changed. */
  async look(): Promise<void> {
    const { name, sources, read, log } = this.#options;
    try {
      const seen = await stateOf(sources);
      if (seen === this.#seen) return;
      this.#value = read(await bytesOf(sources));
      this.#seen = seen;
      this.#failure = '';
      log.info({ name }, 'files have changed and are in force');
      this.#changes.notify();
    } catch (thrown) {
      const failure = messageOf(thrown);
      if (failure === this.#failure) return;
      this.#failure = failure;
      log.error({ name, reason: failure }, 'files cannot be used, what was read before is kept');
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, lookEveryMs = usualIntervalMs } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.look();
    }
  }
}

async function stateOf(sources: readonly FileOrText[]): Promise<string> {
  const states = await Promise.all(
    sources.map(async (source) => {
      if ('text' in source) return '';
      const { mtimeMs, size, ino } = await reading(source.file, () => stat(source.file));
      return `${mtimeMs} ${size} ${ino}`;
    }),
  );
  return states.join('\n');
}

function bytesOf(sources: readonly FileOrText[]): Promise<Buffer[]> {
  return Promise.all(
    sources.map(async (source) => {
      if ('text' in source) return Buffer.from(source.text);
      return await reading(source.file, () => readFile(source.file));
    }),
  );
}

async function reading<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    const { code } = thrown as { readonly code?: string };
    throw new CountersignError('ERR_FILE', `read "${file}": ${code ?? messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
