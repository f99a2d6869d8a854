import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Log,
  type Meter,
} from '@countersign/base';
import {
  createMtlsListener,
  isAnonymous,
  type LiveConnections,
  type PeerOf,
  type StillAllowed,
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
  /** Whether the peer of this connection may still be heard: asked with each request. */
  judge(request: IncomingMessage): StillAllowed;
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
  const refusals = new WeakMap<object, Denial>();
  const callers = new WeakMap<object, { readonly config: RouterConfig; readonly caller: Caller }>();
  const watching = new AbortController();
  const listener = createMtlsListener({
    ...{ name: 'router', svids, bundles, clock, log, meter },
    clientAuth: listen.client_mtls === 'required' ? 'require' : 'request',
    maxConnections: limits.max_connections,
    prepare: (peer, met) => revocation.prepare?.(peer, met),
    admit: (peer) => judgePeer(peer, revocation, clock.now()),
    onConnection(socket, peer) {
      peers.set(socket, peer);
      front.emit('connection', socket);
    },
    // It is told a code with its first request; the listener destroys what is left of it.
    onRefused(socket, refusal) {
      refusals.set(socket, refusal);
      front.emit('connection', socket);
    },
  });
  const bound = await listener.listen(listen.port, listen.address);
  void cutExpired(listener.connections, clock, watching.signal);
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
    judge({ socket }) {
      const peer = peers.get(socket);
      if (peer !== undefined) return judgePeer(peer, revocation, clock.now());
      return refusals.get(socket) ?? denial('ERR_INTERNAL', 'a connection that nobody admitted');
    },
    async close(drainMs) {
      watching.abort();
      front.closeIdleConnections();
      await listener.close(drainMs);
      front.close();
    },
  };
}

/** What a stream may still take once its caller's certificate has expired. */
const expiryGraceMs = 30_000;

/** Ends connections whose peer's certificate is over, with what still streams on them. */
async function cutExpired(connections: LiveConnections, clock: Clock, signal: AbortSignal) {
  while (!signal.aborted) {
    await clock.sleep(1000, { signal, ref: false }).catch(() => {});
    const at = clock.now() - expiryGraceMs;
    connections.reask(({ peer }) => {
      if (isAnonymous(peer) || !peer.hasEnded(at)) return { ok: true };
      return denial('ERR_PEER_EXPIRED', 'certificate and its grace are over');
    });
  }
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
    judge: () => ({ ok: true }),
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
