import { createServer, type Socket } from 'node:net';
import type { MtlsMode } from '@countersign/authz';
import { type Clock, CountersignError, type Denial, type Log, messageOf } from '@countersign/base';
import { beginsTls, firstOctets, type MtlsListener } from '@countersign/mtls';

export interface MixedListenerOptions {
  readonly name: string;
  /** As it is now; asked at each connection. */
  readonly mode: () => MtlsMode;
  /** Takes what begins with a handshake. */
  readonly tls: MtlsListener;
  /** Takes everything else. */
  readonly clear: MtlsListener;
  /** What is against plaintext now. */
  readonly refusal: () => Denial | undefined;
  /** Told of a connection in plaintext. */
  readonly onPlaintext: (address: string, isRefused: boolean) => void;
  readonly allowHalfOpen: boolean;
  readonly maxConnections: number;
  /** For the first octets. */
  readonly timeoutMs: number;
  /** Whoever says nothing for so long waits for the server to speak, in plaintext; 0: nobody does. */
  readonly serverFirstMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * One port for TLS and plaintext: accept, look at the first octets, hand on. Nothing of a connection is read here, and
 * whoever takes it bounds it from then on. In mode DISABLE nothing is looked at: TLS that comes then is the
 * application's own.
 */
export function createMixedListener(
  options: MixedListenerOptions,
): Pick<MtlsListener, 'listen' | 'close'> {
  const { name, mode, tls, clear, log, clock } = options;
  const waiting = new Set<Socket>();
  const server = createServer(
    {
      ...{ allowHalfOpen: options.allowHalfOpen, noDelay: true },
      ...{ keepAlive: true, keepAliveInitialDelay: 60_000 },
    },
    (raw) => {
      raw.on('error', (thrown) =>
        log.debug({ listener: name, reason: messageOf(thrown) }, 'broke'),
      );
      if (mode() === 'DISABLE') return void takeClear(raw);
      waiting.add(raw);
      void tell(raw).finally(() => waiting.delete(raw));
    },
  );
  server.maxConnections = options.maxConnections;

  async function tell(raw: Socket): Promise<void> {
    // Nobody who is refused anyway is waited for as if the server had to speak.
    const waitsForUs = options.serverFirstMs > 0 && mode() === 'PERMISSIVE';
    const waitMs = waitsForUs ? options.serverFirstMs : options.timeoutMs;
    const found = await firstOctets(raw, { judge: beginsTls, waitMs, clock });
    if (raw.destroyed) return;
    if (found.kind === 'told') return found.told ? tls.take(raw) : takeClear(raw);
    if (found.kind === 'silent' && waitsForUs) return takeClear(raw);
    log.debug({ listener: name, from: raw.remoteAddress, start: found.kind }, 'nothing was asked');
    raw.destroy();
  }

  function takeClear(raw: Socket): void {
    const refused = options.refusal();
    const from = raw.remoteAddress ?? '';
    options.onPlaintext(from, refused !== undefined);
    if (refused === undefined) return void clear.take(raw);
    log.warn({ from, code: refused.code, ...refused.fields }, `refused: ${refused.detail}`);
    raw.destroy();
  }

  return {
    listen(port, host) {
      return new Promise((resolve, reject) => {
        const failed = (thrown: Error & { code?: string }): void => {
          const fields = { host, port, reason: thrown.code };
          const message = `listen on "${host}:${port}": ${thrown.code ?? thrown.message}`;
          reject(new CountersignError('ERR_LISTEN', message, { fields, cause: thrown }));
        };
        server.once('error', failed);
        server.listen(port, host, () => {
          server.off('error', failed);
          server.on('error', (thrown) => log.error({ listener: name, err: thrown }, 'failed'));
          const bound = server.address();
          if (bound !== null && typeof bound !== 'string') resolve(bound);
        });
      });
    },
    async close(drainMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all([tls.close(drainMs), clear.close(drainMs)]);
      for (const raw of waiting) raw.destroy();
      await closed;
    },
  };
}
