import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, CountersignError, type Log, type Meter } from '@countersign/base';
import {
  createMtlsListener,
  type LiveConnection,
  type LiveConnections,
  type PeerOf,
} from '@countersign/mtls';
import type { BundleSource, RevocationSource, SvidSource } from '@countersign/spiffe';
import { callerOf } from './caller-of.ts';
import type { RouterConfig } from './config/router-config.ts';
import { judgePeer } from './judge-peer.ts';
import { type Caller, stranger } from './operation/caller.ts';

export interface FrontDoorOptions {
  readonly front: Server;
  readonly config: () => RouterConfig;
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** Where clients come in, with mTLS or without. */
export interface FrontDoor {
  readonly port: number;
  readonly address: string;
  readonly isTls: boolean;
  /** Of mTLS clients, to be asked about again. */
  readonly connections: LiveConnections | undefined;
  callerOf(request: IncomingMessage): Caller;
  /** Stops accepting, lets requests in flight end for so long, then destroys the rest. */
  close(drainMs: number): Promise<void>;
}

/** @throws CountersignError ERR_LISTEN, ERR_SVID_NONE, ERR_TLS_CONTEXT */
export async function openFrontDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const { listen } = options.config();
  return listen.client_mtls === 'off' ? await openPlainDoor(options) : await openMtlsDoor(options);
}

async function openMtlsDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const { front, svids, bundles, revocation, clock, log, meter } = options;
  const { listen, limits } = options.config();
  const peers = new WeakMap<object, PeerOf>();
  const callers = new WeakMap<object, { readonly config: RouterConfig; readonly caller: Caller }>();
  const sockets = new Set<LiveConnection>();
  const listener = createMtlsListener({
    ...{ name: 'router', svids, bundles, clock, log, meter },
    clientAuth: listen.client_mtls === 'required' ? 'require' : 'request',
    maxConnections: limits.max_connections,
    prepare: (peer, met) => revocation.prepare?.(peer, met),
    admit: (peer) => judgePeer(peer, revocation, clock.now()),
    onConnection(socket, peer, live) {
      peers.set(socket, peer);
      sockets.add(live);
      socket.once('close', () => sockets.delete(live));
      front.emit('connection', socket);
    },
  });
  const bound = await listener.listen(listen.port, listen.address);
  // Starts Node's check of the time-outs, which a server that never listens would not do.
  front.emit('listening');
  return {
    ...bound,
    isTls: true,
    connections: listener.connections,
    callerOf({ socket }) {
      const config = options.config();
      const known = callers.get(socket);
      if (known?.config === config) return known.caller;
      const peer = peers.get(socket);
      const caller = peer === undefined ? stranger : callerOf(peer, config);
      callers.set(socket, { config, caller });
      return caller;
    },
    async close(drainMs) {
      front.closeIdleConnections();
      await listener.close(drainMs);
      front.close();
    },
  };
}

/** HTTP without TLS: for loopback, or behind a proxy that does mTLS. */
async function openPlainDoor({ front, clock, config }: FrontDoorOptions): Promise<FrontDoor> {
  const { listen, limits } = config();
  front.maxConnections = limits.max_connections;
  await new Promise<void>((resolve, reject) => {
    front.once('error', (thrown: Error & { code?: string }) => {
      const message = `listen on "${listen.address}:${listen.port}": ${thrown.code ?? thrown.message}`;
      reject(new CountersignError('ERR_LISTEN', message, { cause: thrown }));
    });
    front.listen(listen.port, listen.address, resolve);
  });
  const { port, address } = front.address() as AddressInfo;
  return {
    ...{ port, address, isTls: false, connections: undefined },
    callerOf: () => stranger,
    async close(drainMs) {
      const closed = new Promise<void>((resolve) => front.close(() => resolve()));
      front.closeIdleConnections();
      const stop = new AbortController();
      const overdue = clock.sleep(drainMs, { signal: stop.signal }).catch(() => {});
      await Promise.race([closed, overdue]);
      stop.abort();
      front.closeAllConnections();
      await closed;
    },
  };
}
