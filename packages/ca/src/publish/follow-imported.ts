import { type Clock, type Log, messageOf } from '@countersign/base';
import type { Authority } from '../authority.ts';
import { importedLists } from './imported-list.ts';

type Imported = Awaited<ReturnType<typeof importedLists>>;

export interface FollowedImports {
  lists(): Imported;
  /** Reads them again, now. */
  refresh(): Promise<void>;
  stop(): void;
}

/** Another process over the ledger may have imported a list. */
const lookAgainMs = 10_000;

/** Keeps the imported lists at hand, those that other processes imported too. */
export function followImported(parts: {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
}): FollowedImports {
  const { authority, clock, log } = parts;
  const ending = new AbortController();
  const { signal } = ending;
  let found: Imported = [];
  void follow();
  return { lists: () => found, refresh, stop: () => ending.abort() };

  async function refresh(): Promise<void> {
    const now = await importedLists(authority.publishers(), authority.ledger);
    // A list that is the same stays the same object: what was made of it stays too.
    found = now.map((each) => {
      const before = found.find(({ path }) => path === each.path);
      return before?.list.number === each.list.number ? before : each;
    });
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      await refresh().catch((thrown: unknown) => {
        if (!signal.aborted) log.debug({ error: messageOf(thrown) }, 'imported lists not read');
      });
      await clock.sleep(lookAgainMs, { signal, ref: false }).catch(() => {});
    }
  }
}
