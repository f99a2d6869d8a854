import { randomUUID } from 'node:crypto';
import { type Clock, CountersignError, type Log, type Meter, messageOf } from '@countersign/base';
import type { Ledger } from '../ledger.ts';
import type { RetentionConfig } from './retention-config.ts';
import { retentionAtFirst } from './retention-records.ts';

export interface RetentionOptions {
  readonly ledger: Pick<Ledger, 'archiveEnded' | 'retention' | 'recordsAfter'>;
  readonly config: RetentionConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface Retention {
  /** Why the last round failed; undefined while they succeed. */
  unwell(): string | undefined;
  stop(): Promise<void>;
}

/** Rows in one transaction: whoever issues waits for so many at most. */
const pageRows = 200;
/** A page is followed by a pause of as many times what it took: archiving has a fifth of the ledger at most. */
const pauseFactor = 4;
const leastPauseMs = 10;
/** Another process goes on after so long a silence. */
const holdMs = 60_000;
const firstRoundAfterMs = 30_000;

/**
 * Archives what ended long ago, round after round, for as long as the authority serves. Several processes over a ledger
 * may do so: one of them is given the work. Killed at any moment, the next round goes on.
 */
export function keepRetention(options: RetentionOptions): Retention {
  const { config, clock, log, meter } = options;
  const holder = randomUUID();
  const ending = new AbortController();
  const { signal } = ending;
  const archived = meter.counter({
    name: 'countersign_ledger_archived_total',
    help: 'Records that this process moved to the archive of the ledger.',
  });
  let failure: string | undefined;
  const done = config.enabled ? keep() : Promise.resolve();
  return {
    unwell: () => failure,
    async stop() {
      ending.abort();
      await done;
    },
  };

  async function keep(): Promise<void> {
    let waitMs = Math.min(firstRoundAfterMs, config.everyMs);
    while (await pause(waitMs)) {
      waitMs = config.everyMs;
      try {
        const moved = await archiveRound(options, holder, pause);
        failure = undefined;
        archived.add(moved);
        if (moved > 0) log.info({ moved }, 'ended records of the ledger archived');
      } catch (thrown) {
        const code = thrown instanceof CountersignError ? thrown.code : undefined;
        if (signal.aborted || code === 'ERR_LEDGER_CLOSED') return;
        failure = `ended records could not be archived: ${messageOf(thrown)}`;
        log.error({ code, error: messageOf(thrown) }, 'ended records could not be archived');
      }
    }
  }

  /** False once it is to end. */
  async function pause(ms: number): Promise<boolean> {
    await clock.sleep(ms, { signal, ref: false }).catch(() => {});
    return !signal.aborted;
  }
}

/** One round, as far as `pause` lets it. @returns how many records were moved; 0 where another process does it */
export async function archiveRound(
  options: Pick<RetentionOptions, 'ledger' | 'config' | 'clock'>,
  holder: string,
  pause: (ms: number) => Promise<boolean>,
): Promise<number> {
  const { ledger, clock } = options;
  const endedBefore = await cutoffOf(options);
  if (endedBefore === undefined) return 0;
  for (let moved = 0; ; ) {
    const started = clock.monotonic();
    const turn = await ledger.archiveEnded({ endedBefore, limit: pageRows, holder, holdMs });
    moved += turn.moved;
    if (turn.next !== 'more') return moved;
    const tookMs = clock.monotonic() - started;
    if (!(await pause(Math.max(leastPauseMs, tookMs * pauseFactor)))) return moved;
  }
}

/**
 * What ended before it goes. It moves on by a sixteenth of `keep` from one round to the next at most: a clock that jumps
 * ahead for a while archives nothing that is alive by any other clock, and a ledger of years is gone through in a week.
 */
async function cutoffOf({
  ledger,
  config,
  clock,
}: Pick<RetentionOptions, 'ledger' | 'config' | 'clock'>): Promise<number | undefined> {
  const { endedBefore: last } = (await ledger.retention()) ?? retentionAtFirst;
  const from = last > 0 ? last : (await ledger.recordsAfter(0, 1))[0]?.at;
  if (from === undefined) return undefined;
  return Math.min(clock.now() - config.keepMs, from + config.keepMs / 16);
}
