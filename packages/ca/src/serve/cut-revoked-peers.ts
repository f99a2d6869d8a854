import { type Clock, type Log, messageOf } from '@countersign/base';
import { isAnonymous, type LiveConnection, type LiveConnections } from '@countersign/mtls';
import type { Ledger, RevocationRecord } from '../ledger/ledger.ts';
import { judgePeer } from './authorize-caller.ts';

export interface RevokedPeerCutter {
  /** Leaves a connection alone while it orders its own revocation; the function ends that and asks about it again. */
  spare(live: LiveConnection): () => void;
  stop(): void;
}

/**
 * Keeps the promise of "revoke and cut" for the authority's own listener: after each commit the peers concerned are
 * judged again, by the same function that admits their requests, and cut where they are refused.
 */
export function cutRevokedPeers(options: {
  readonly ledger: Ledger;
  readonly connections: LiveConnections;
  readonly clock: Clock;
  readonly log: Log;
  /** Revocations up to it are older than every connection. */
  readonly from: number;
}): RevokedPeerCutter {
  const { ledger, connections, clock, log } = options;
  const spared = new Set<LiveConnection>();
  let cursor = options.from;
  let work: Promise<void> = Promise.resolve();

  const stop = ledger.onCommit(() => {
    work = work.then(applyNew).catch((thrown: unknown) => {
      log.error({ error: messageOf(thrown) }, 'live connections could not be judged again');
    });
  });

  async function applyNew(): Promise<void> {
    for (;;) {
      const records = await ledger.revocationsAfter(cursor, 100);
      for (const record of records) {
        await Promise.all(concerned(record).map(judgeAgain));
        cursor = record.position;
      }
      if (records.length === 0) return;
    }
  }

  function concerned(record: RevocationRecord): LiveConnection[] {
    return [...connections].filter(({ peer }) => {
      if (isAnonymous(peer)) return false;
      if (record.by === 'serial') return peer.serialHex === record.value;
      if (record.by === 'spiffe-id') return peer.spiffeId?.toString() === record.value;
      return true;
    });
  }

  async function judgeAgain(live: LiveConnection): Promise<void> {
    if (isAnonymous(live.peer) || spared.has(live)) return;
    const judged = await judgePeer(live.peer, { ledger, now: clock.now() });
    if (!judged.ok && !spared.has(live)) live.cut(judged);
  }

  return {
    spare(live) {
      spared.add(live);
      return function spareNoLonger() {
        spared.delete(live);
        judgeAgain(live).catch((thrown: unknown) => {
          log.error({ error: messageOf(thrown) }, 'a connection could not be judged again');
          live.socket.destroy();
        });
      };
    },
    stop,
  };
}
