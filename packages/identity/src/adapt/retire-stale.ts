import { type Clock, type Log, messageOf, systemClock } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { warningLog } from '../live/warning-log.ts';

/** A pool of connections, as far as replacing those of before a rotation needs. */
export interface StalePool<Connection extends object> {
  /** Opens a connection of its own with the identity of now, uses it once and closes it; rejects where that fails. */
  prove(): Promise<void>;
  /** Takes an idle connection; asked only while there is one. */
  borrow(): Promise<Connection>;
  giveBack(connection: Connection): void;
  /** Ends a borrowed connection, so that the pool opens another one when it needs it. */
  end(connection: Connection): void;
}

export interface RetireOptions {
  readonly clock?: Clock;
  readonly log?: Log;
  /** In logs, such as `pg`. */
  readonly name: string;
}

export interface StaleRetirer<Connection extends object> {
  /**
   * To be told by the pool: a connection was made, taken, given back or has ended.
   *
   * @param began the serial of the identity when it began: there may have been a rotation since
   */
  made(connection: Connection, began: string): void;
  taken(connection: Connection): void;
  givenBack(connection: Connection): void;
  gone(connection: Connection): void;
  stop(): void;
}

const firstRetryMs = 1000;
const longestRetryMs = 60_000;
const pauseMs = 100;

/**
 * After a rotation, replaces a pool's connections: first the new certificate is proved to be accepted, by a connection
 * beside the pool; only then those of before are ended, each once nobody uses it. Where the server refuses it, they stay,
 * and it is tried again.
 */
export function retireStale<Connection extends object>(
  source: LiveSource,
  pool: StalePool<Connection>,
  options: RetireOptions,
): StaleRetirer<Connection> {
  const { clock = systemClock, log = warningLog, name } = options;
  const open = new Set<Connection>();
  const stale = new Set<Connection>();
  const idle = new Set<Connection>();
  const stopping = new AbortController();
  let round = new AbortController();
  let isProved = false;
  let isBorrowing = false;
  let held: Connection[] = [];

  const unfollow = source.onChange(function onRotation() {
    isProved = false;
    for (const each of open) stale.add(each);
    round.abort();
    round = new AbortController();
    void proveThenRetire(AbortSignal.any([round.signal, stopping.signal]));
  });

  async function proveThenRetire(signal: AbortSignal): Promise<void> {
    for (let waitMs = firstRetryMs; !signal.aborted; waitMs *= 2) {
      try {
        await pool.prove();
        if (signal.aborted) return;
        isProved = true;
        return void replaceNext();
      } catch (thrown) {
        if (signal.aborted) return;
        log.warn(
          { err: thrown, pool: name, waitMs },
          `new certificate not accepted, connections of before are kept: ${messageOf(thrown)}`,
        );
      }
      const napMs = Math.min(waitMs, longestRetryMs);
      await clock.sleep(napMs, { signal, ref: false }).catch(() => {});
    }
  }

  /**
   * One connection after the other is borrowed, as anybody would, and ended where it is of before. Fresh ones that come
   * first are held until no stale one is idle, since pools hand out those that they got last.
   */
  function replaceNext(): void {
    if (isBorrowing || !isProved || stale.size === 0 || stopping.signal.aborted) return;
    isBorrowing = true;
    pool.borrow().then(
      (connection) => {
        isBorrowing = false;
        if (stale.has(connection)) {
          forget(connection);
          pool.end(connection);
        } else {
          held.push(connection);
          if (!hasIdleStale()) return void replaceLater();
        }
        if (stale.size === 0) giveBackHeld();
        else replaceNext();
      },
      (thrown: unknown) => {
        isBorrowing = false;
        log.debug({ pool: name, reason: messageOf(thrown) }, 'a connection was not replaced');
        replaceLater();
      },
    );
  }

  /** Those that are in use are met when they are given back; some pools hand them on without a word. */
  async function replaceLater(): Promise<void> {
    giveBackHeld();
    if (stale.size === 0) return;
    await clock.sleep(pauseMs, { signal: stopping.signal, ref: false }).catch(() => {});
    replaceNext();
  }

  function giveBackHeld(): void {
    const fresh = held;
    held = [];
    for (const each of fresh) pool.giveBack(each);
  }

  function hasIdleStale(): boolean {
    for (const each of stale) if (idle.has(each)) return true;
    return false;
  }

  function forget(connection: Connection): void {
    for (const each of [open, stale, idle]) each.delete(connection);
  }

  return {
    made(connection, began) {
      open.add(connection);
      if (began !== source.svid().serialHex) stale.add(connection);
    },
    taken(connection) {
      idle.delete(connection);
    },
    givenBack(connection) {
      if (!open.has(connection)) return;
      idle.add(connection);
      if (stale.has(connection)) replaceNext();
    },
    gone: forget,
    stop() {
      unfollow();
      stopping.abort();
    },
  };
}
