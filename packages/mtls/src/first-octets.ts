import type { Socket } from 'node:net';
import type { Clock } from '@countersign/base';

export interface FirstOctetsOptions<T> {
  /** What the octets so far tell; undefined: more are needed. It has to decide within {@link mostOctets}. */
  readonly judge: (octets: Buffer) => T | undefined;
  /** Until then it has to have decided; 0 waits for ever. */
  readonly waitMs: number;
  readonly clock: Clock;
}

/**
 * `silent`: not one octet came in time. `slow`: too few came. `gone`: the other side ended or broke off before that;
 * the socket is then of no use.
 */
export type FirstOctets<T> =
  | { readonly kind: 'told'; readonly told: T }
  | { readonly kind: 'silent' | 'slow' | 'gone' };

/** No judge needs more; who sends so many without a decision is not waited for. */
const mostOctets = 64;

/**
 * Looks at how a connection begins, and leaves every octet where it was: whoever takes the socket next reads it from
 * the start. What was read is held here until then, for a stream that is given back its octets tells of them at once,
 * and again and again.
 */
export function firstOctets<T>(
  socket: Socket,
  { judge, waitMs, clock }: FirstOctetsOptions<T>,
): Promise<FirstOctets<T>> {
  return new Promise((resolve) => {
    const over = new AbortController();
    let held: Buffer = Buffer.alloc(0);
    const settle = (found: FirstOctets<T>): void => {
      if (over.signal.aborted) return;
      over.abort();
      socket.off('readable', look).off('end', gone).off('close', gone);
      if (held.byteLength > 0 && !socket.readableEnded && !socket.destroyed) socket.unshift(held);
      resolve(found);
    };
    const look = (): void => {
      const octets = socket.read() as Buffer | null;
      if (octets === null) return;
      held = held.byteLength === 0 ? octets : Buffer.concat([held, octets]);
      const told = judge(held);
      if (told !== undefined) settle({ kind: 'told', told });
      else if (held.byteLength >= mostOctets) settle({ kind: 'slow' });
    };
    const gone = (): void => settle({ kind: 'gone' });
    socket.on('readable', look).on('end', gone).on('close', gone);
    if (waitMs === 0) return;
    clock.sleep(waitMs, { signal: over.signal, ref: false }).then(
      () => settle({ kind: held.byteLength === 0 ? 'silent' : 'slow' }),
      () => {},
    );
  });
}

/**
 * Whether a connection begins with a TLS handshake. For {@link firstOctets}.
 *
 * RFC 8446 §5.1, §4: a record of type handshake (22) whose legacy version begins with 3, and in it a ClientHello (1).
 */
export function beginsTls(octets: Buffer): boolean | undefined {
  for (const [at, expected] of clientHello) {
    if (octets.byteLength <= at) return undefined;
    if (octets[at] !== expected) return false;
  }
  return true;
}

const clientHello = [
  [0, 22],
  [1, 3],
  [5, 1],
] as const;
