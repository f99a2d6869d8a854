import type { Duplex } from 'node:stream';
import type { Clock } from '@countersign/base';

/** What became of a tunnel. */
export interface Spliced {
  /** Bytes from the client. */
  readonly received: number;
  /** Bytes to the client. */
  readonly sent: number;
  /**
   * Why it ended: both sides had said their last, one broke off, nothing moved, one went on for too long after the other
   * had said its last, or it had lasted as long as it may.
   */
  readonly end: 'both' | 'client' | 'upstream' | 'idle' | 'half-closed' | 'lifetime';
}

export interface SpliceOptions {
  /** Without a byte in either direction; 0 waits for ever. */
  readonly idleMs: number;
  /** For one side, after the other has said its last; 0 ends both at once. Undefined waits for ever. */
  readonly closeMs?: number | undefined;
  /** In whole; undefined: for ever. */
  readonly maxLifetimeMs?: number | undefined;
  readonly clock: Clock;
}

interface Timed {
  setTimeout?(ms: number, onTimeout: () => void): unknown;
}

/**
 * Passes bytes on between two sides, at the pace of the slower one. A side that has said its last is told to the other,
 * which may go on (half-close); a side that breaks off takes the other with it. Resolves when both are gone.
 */
export function splice(
  client: Duplex & Timed,
  upstream: Duplex & Timed,
  { idleMs, closeMs, maxLifetimeMs, clock }: SpliceOptions,
): Promise<Spliced> {
  let received = 0;
  let sent = 0;
  let end: Spliced['end'] = 'both';
  const over = new AbortController();
  const stop = (why: Spliced['end']): void => {
    if (end === 'both') end = why;
    client.destroy();
    upstream.destroy();
  };
  const stopAfter = (ms: number, why: Spliced['end']): void => {
    clock.sleep(ms, { signal: over.signal, ref: false }).then(
      () => stop(why),
      () => {},
    );
  };
  client.on('data', (chunk: Uint8Array) => {
    received += chunk.byteLength;
  });
  upstream.on('data', (chunk: Uint8Array) => {
    sent += chunk.byteLength;
  });
  client.on('error', () => stop('client'));
  upstream.on('error', () => stop('upstream'));
  // Every byte passes here, so one side's silence is the tunnel's.
  if (idleMs > 0) upstream.setTimeout?.(idleMs, () => stop('idle'));
  if (maxLifetimeMs !== undefined) stopAfter(maxLifetimeMs, 'lifetime');
  if (closeMs !== undefined) {
    // What one side said last has to reach the other before both are ended.
    upstream.once('finish', () => stopAfter(closeMs, 'half-closed'));
    client.once('finish', () => stopAfter(closeMs, 'half-closed'));
  }
  client.pipe(upstream);
  upstream.pipe(client);
  return new Promise((resolve) => {
    let open = 2;
    const closed = (one: Duplex, why: 'client' | 'upstream'): void => {
      if (!(one.readableEnded && one.writableFinished)) stop(why);
      open -= 1;
      if (open > 0) return;
      over.abort();
      resolve({ received, sent, end });
    };
    onClose(client, () => closed(client, 'client'));
    onClose(upstream, () => closed(upstream, 'upstream'));
  });
}

function onClose(side: Duplex, listener: () => void): void {
  if (side.closed) queueMicrotask(listener);
  else side.once('close', listener);
}
