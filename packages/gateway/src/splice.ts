import type { Duplex } from 'node:stream';

/** What became of a tunnel. */
export interface Spliced {
  /** Bytes from the client. */
  readonly received: number;
  /** Bytes to the client. */
  readonly sent: number;
  /** Why it ended: both sides had said their last, one broke off, or nothing moved. */
  readonly end: 'both' | 'client' | 'upstream' | 'idle';
}

export interface SpliceOptions {
  /** Without a byte in either direction; 0 waits for ever. */
  readonly idleMs: number;
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
  { idleMs }: SpliceOptions,
): Promise<Spliced> {
  let received = 0;
  let sent = 0;
  let end: Spliced['end'] = 'both';
  const stop = (why: Spliced['end']): void => {
    if (end === 'both') end = why;
    client.destroy();
    upstream.destroy();
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
  client.pipe(upstream);
  upstream.pipe(client);
  return new Promise((resolve) => {
    let open = 2;
    const closed = (one: Duplex, why: 'client' | 'upstream'): void => {
      if (!(one.readableEnded && one.writableFinished)) stop(why);
      open -= 1;
      if (open === 0) resolve({ received, sent, end });
    };
    onClose(client, () => closed(client, 'client'));
    onClose(upstream, () => closed(upstream, 'upstream'));
  });
}

function onClose(side: Duplex, listener: () => void): void {
  if (side.closed) queueMicrotask(listener);
  else side.once('close', listener);
}
