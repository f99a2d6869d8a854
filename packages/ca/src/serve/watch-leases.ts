import { type Clock, type Gauge, type Log, messageOf } from '@countersign/base';
import type { Ledger } from '../ledger/ledger.ts';
import type { Bell } from './bell.ts';

export interface LeaseWatch {
  readonly ledger: Ledger;
  /** Rings whenever a lease was held or released here. */
  readonly leases: Bell;
  readonly live: Gauge;
  readonly clock: Clock;
  readonly log: Log;
}

/** A lease also ends by silence, and may be held at another replica: neither rings. */
const lookAgainMs = 10_000;

/** Keeps the number of live leases true, until the signal is aborted. A ledger that does not answer is asked again. */
export async function watchLeases(watch: LeaseWatch, signal: AbortSignal): Promise<void> {
  const { ledger, leases, live, clock, log } = watch;
  while (!signal.aborted) {
    const { rings } = leases;
    try {
      live.set((await ledger.leases()).length);
    } catch (thrown) {
      if (!signal.aborted) log.debug({ error: messageOf(thrown) }, 'leases could not be counted');
    }
    await leases.wait(rings, lookAgainMs, clock, signal);
  }
}
