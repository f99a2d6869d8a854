import { stat } from 'node:fs/promises';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { RouterConfig } from './config/router-config.ts';

export interface WatchOptions {
  /** In force now. */
  readonly config: () => RouterConfig;
  /** Puts in force what the files say now. */
  readonly reload: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

const intervalMs = 1000;

/**
 * Looks every second whether the supergraph's files were written anew, and reloads then. What cannot be put in force is
 * logged, and the old supergraph stays.
 *
 * @returns the function that ends it
 */
export function watchSupergraph({ config, reload, clock, log }: WatchOptions): () => void {
  const stopping = new AbortController();
  const { signal } = stopping;
  void watch();
  return () => stopping.abort();

  async function watch(): Promise<void> {
    let seen = await stamps(filesOf(config()));
    while (!signal.aborted) {
      await clock.sleep(intervalMs, { signal, ref: false }).catch(() => {});
      const now = await stamps(filesOf(config()));
      if (signal.aborted || now === seen) continue;
      seen = now;
      await reload().then(
        () => log.info({}, 'supergraph taken over'),
        (thrown) =>
          log.error({ reason: messageOf(thrown) }, 'supergraph not taken over, the old one stays'),
      );
    }
  }
}

function filesOf({ supergraph, subgraphs }: RouterConfig): string[] {
  const ofSubgraphs = subgraphs.flatMap(({ schema, grpc }) => [schema, grpc?.descriptor_set]);
  return [supergraph, ...ofSubgraphs].filter((path) => path !== undefined);
}

async function stamps(files: readonly string[]): Promise<string> {
  const all = files.map((file) =>
    stat(file).then(
      ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
      () => 'absent',
    ),
  );
  return (await Promise.all(all)).join('\n');
}
