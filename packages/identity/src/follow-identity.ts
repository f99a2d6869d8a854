import { type Clock, type Log, messageOf } from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  type SvidSource,
} from '@countersign/spiffe';
import type { Identity } from './identity.ts';
import { readIdentity } from './identity-files.ts';
import { proveIdentity } from './prove-issued.ts';

export interface FollowIdentityOptions {
  readonly identity: Identity;
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface FollowedIdentity extends SvidSource, BundleSource, Changes {
  readonly identity: Identity;
  /** Reads the directory now. */
  look(): Promise<void>;
  stop(): void;
}

const intervalMs = 1000;

/**
 * The identity of a directory that somebody else keeps fresh: looked at every second, taken over once it is proved. What
 * cannot be read or proved leaves the one that there is.
 */
export function followIdentity(options: FollowIdentityOptions): FollowedIdentity {
  const { directory, clock, log } = options;
  let { identity } = options;
  let failure = '';
  const changes = new ChangeSignal((thrown) => log.error({ err: thrown }, 'a listener failed'));
  const stopping = new AbortController();

  async function look(): Promise<void> {
    try {
      const found = await readIdentity(directory);
      failure = '';
      if (found.svid.serialHex === identity.svid.serialHex) return;
      const proved = proveIdentity(found, clock.now());
      if (!proved.ok) throw new Error(proved.detail);
      identity = found;
      log.info({ serial: found.svid.serialHex }, 'identity taken over');
      changes.notify();
    } catch (thrown) {
      const reason = messageOf(thrown);
      if (reason !== failure) log.error({ directory, reason }, 'identity not taken over');
      failure = reason;
    }
  }
  void (async () => {
    const { signal } = stopping;
    while (!signal.aborted) {
      await clock.sleep(intervalMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await look();
    }
  })();

  return {
    get identity() {
      return identity;
    },
    svid: () => identity.svid,
    bundle: (domain) => (domain === identity.bundle.trustDomain ? identity.bundle : undefined),
    authorities: () => identity.bundle.authorities,
    onChange: (listener) => changes.onChange(listener),
    look,
    stop: () => stopping.abort(),
  };
}
