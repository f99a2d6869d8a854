import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, CountersignError, type Log, type Meter, messageOf } from '@countersign/base';
import {
  anonymous,
  type LiveConnection,
  LiveConnections,
  type MtlsListener,
  type PeerOf,
  type StillAllowed,
} from '@countersign/mtls';
import { listenOnPath } from './local-socket.ts';

export interface ClearListenerOptions {
  readonly name: string;
  readonly allowHalfOpen: boolean;
  /** A Unix socket; absent: an address and a port. */
  readonly path?: string | undefined;
  readonly maxConnections?: number | undefined;
  readonly admit: (peer: PeerOf, facts: LiveConnection['facts']) => StillAllowed;
  readonly onConnection: (socket: Socket, live: LiveConnection) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** A listener in clear text, for where the configuration asks for one: whoever connects is anonymous. */
export function createClearListener(options: ClearListenerOptions): MtlsListener {
  const { name, clock, log, meter, allowHalfOpen } = options;
  const connections = new LiveConnections({ name, clock, log, meter });
  const accepted = new Set<Socket>();
  const server = createServer(
    { allowHalfOpen, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
    (socket) => {
      accepted.add(socket);
      socket.once('close', () => accepted.delete(socket));
      socket.on('error', (thrown) => {
        log.debug({ listener: name, reason: messageOf(thrown) }, 'connection broke');
      });
      const facts = factsOf(name, socket);
      const answer = options.admit(anonymous, facts);
      if (!answer.ok) {
        log.warn({ ...facts, code: answer.code, ...answer.fields }, `refused: ${answer.detail}`);
        return void socket.destroy();
      }
      options.onConnection(socket, connections.add(socket, anonymous, facts));
    },
  );
  server.maxConnections = options.maxConnections ?? 10_000;
  return {
    connections,
    reload() {},
    take: (raw) => void server.emit('connection', raw),
    async listen(port, host) {
      const { path } = options;
      if (path === undefined) return listen(server, port, host, { name, log });
      await listenOnPath(server, path);
      server.on('error', (thrown) => log.error({ listener: name, err: thrown }, 'listener failed'));
      return { port: 0, address: path };
    },
    async close(drainMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const over = new AbortController();
      const late = clock.sleep(drainMs, { signal: over.signal }).catch(() => {});
      await Promise.race([connections.empty(), late]);
      over.abort();
      for (const socket of accepted) socket.destroy();
      if (server.listening || accepted.size > 0) await closed;
    },
  };
}

function factsOf(name: string, socket: Socket): LiveConnection['facts'] {
  return {
    ...{ name, direction: 'inbound', protocol: '', resumed: false, serverNames: [] },
    remoteAddress: socket.remoteAddress ?? '',
    remotePort: socket.remotePort ?? 0,
    sourceAddress: socket.remoteAddress ?? '',
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
  };
}

function listen(
  server: Server,
  port: number,
  host: string,
  { name, log }: { readonly name: string; readonly log: Log },
): Promise<{ port: number; address: string }> {
  return new Promise((resolve, reject) => {
    const failed = (thrown: Error & { code?: string }): void => {
      const fields = { host, port, reason: thrown.code };
      const message = `listen on "${host}:${port}": ${thrown.code ?? thrown.message}`;
      reject(new CountersignError('ERR_LISTEN', message, { fields, cause: thrown }));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      server.on('error', (thrown) => log.error({ listener: name, err: thrown }, 'listener failed'));
      const bound = server.address();
      if (bound !== null && typeof bound !== 'string') resolve(bound);
    });
  });
}
