import { type Clock, CountersignError } from '@countersign/base';

/**
 * Gives up when the time of an operation is over, with ERR_SUBGRAPH_TIMEOUT: what it still waits for are subgraphs.
 *
 * @returns what ends the wait
 */
export function giveUpAfter(ms: number, giveUp: AbortController, clock: Clock): () => void {
  const stop = new AbortController();
  clock.sleep(ms, { signal: stop.signal, ref: false }).then(
    () =>
      giveUp.abort(
        new CountersignError('ERR_SUBGRAPH_TIMEOUT', `operation took longer than ${ms} ms`),
      ),
    () => {},
  );
  return () => stop.abort();
}
