import type { AuthorityClient } from '../authority-client.ts';
import type { LogSource } from './log-source.ts';

/** An authority's log, read over its API. */
export function logOfClient(
  client: Pick<AuthorityClient, 'logCheckpoint' | 'logTile'>,
  signal?: AbortSignal,
): LogSource {
  const options = signal === undefined ? {} : { signal };
  return {
    checkpoint: () => client.logCheckpoint(options),
    tile: (name) => client.logTile(name, options),
  };
}
