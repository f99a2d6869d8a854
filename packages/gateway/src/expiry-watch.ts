import { type Clock, denial, type Log } from '@countersign/base';
import { isAnonymous, type LiveConnection } from '@countersign/mtls';

export interface ExpiryWatchOptions {
  readonly connections: () => Iterable<LiveConnection>;
  /** Whether a request or response is on its way on it. */
  readonly isBusy: (connection: LiveConnection) => boolean;
  /** What a response in flight may still take after its peer's certificate has expired. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Never asleep for longer, so that a certificate that comes sooner is not missed by more. */
const longestSleepMs = 1000;
const shortestSleepMs = 20;
// RFC 5280 §4.1.2.5: the validity includes its end, which is a whole second.
const lastSecondMs = 1000;

/**
 * Ends connections whose peer's certificate has ended while they were open: at once and without an error when nothing
 * is on its way, else when that is over, and at the latest `graceMs` after the end. New requests on them are refused
 * by the rules meanwhile. Runs until the signal is aborted.
 */
export async function watchExpiry(options: ExpiryWatchOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const now = options.clock.now();
    let next = now + longestSleepMs;
    for (const connection of options.connections()) {
      next = Math.min(next, endIfExpired(options, connection, now));
    }
    const ms = Math.max(shortestSleepMs, next - now);
    await options.clock.sleep(ms, { signal, ref: false }).catch(() => {});
  }
}

/** When to look at this connection again. */
function endIfExpired(
  options: ExpiryWatchOptions,
  connection: LiveConnection,
  now: number,
): number {
  const { peer, socket } = connection;
  if (isAnonymous(peer) || socket.destroyed) return Number.POSITIVE_INFINITY;
  if (!peer.hasEnded(now)) return peer.notAfter + lastSecondMs;
  const busy = options.isBusy(connection);
  const graceEnd = peer.notAfter + lastSecondMs + options.graceMs;
  if (busy && now < graceEnd) return graceEnd;
  const fields = { now, notAfter: peer.notAfter };
  if (busy) {
    connection.cut(denial('ERR_PEER_EXPIRED', 'certificate and its grace are over', fields));
  } else {
    options.log.debug({ connection: connection.id, ...fields }, 'closed, certificate is over');
    socket.destroySoon();
  }
  return Number.POSITIVE_INFINITY;
}
