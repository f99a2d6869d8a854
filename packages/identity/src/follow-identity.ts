import { type Clock, type Log, messageOf } from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  type SvidSource,
  sameAuthorities,
} from '@countersign/spiffe';
import type { Identity } from './identity.ts';
import { readIdentity } from './identity-files.ts';
import { proveIdentity } from './prove-issued.ts';

export interface FollowIdentityOptions {
  readonly identity: Identity;
  readonly directory: string;
  /** How it is read; as `enrol` and `keep` write it unless given. */
  readonly read?: () => Promise<Identity>;
  /** Whether one that was issued before the one that is held is refused. Default false. */
  readonly refusesOlder?: boolean;
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
  const { directory, clock, log, read = () => readIdentity(directory) } = options;
  let { identity } = options;
  let failure = '';
  const changes = new ChangeSignal((thrown) => log.error({ err: thrown }, 'a listener failed'));
  const stopping = new AbortController();

  async function look(): Promise<void> {
    let isNew = false;
    try {
      const found = await read();
      const isSame =
        found.svid.serialHex === identity.svid.serialHex &&
        sameAuthorities(found.bundle, identity.bundle);
      if (!isSame) {
        proveTakeable(found);
        identity = found;
        isNew = true;
      }
      failure = '';
    } catch (thrown) {
      const reason = messageOf(thrown);
      if (reason !== failure) log.error({ directory, reason }, 'identity not taken over');
      failure = reason;
    }
    if (isNew) {
      log.info({ serial: identity.svid.serialHex }, 'identity taken over');
      changes.notify();
    }
  }

  function proveTakeable(found: Identity): void {
    const proved = proveIdentity(found, clock.now());
    if (!proved.ok) throw new Error(proved.detail);
    const [fresh, held] = [found.svid.leaf.notBefore, identity.svid.leaf.notBefore];
    if (options.refusesOlder !== true || fresh >= held) return;
    const sides = [fresh, held].map((at) => new Date(at).toISOString());
    throw new Error(
      `it is older than the one that is held: from ${sides[0]}, held is from ${sides[1]}`,
    );
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
