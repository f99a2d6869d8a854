import type { Server as NetServer } from 'node:net';
import { type Clock, type Log, type Meter, noLog, noMeter, systemClock } from '@countersign/base';
import {
  createMtlsListener,
  followChanges,
  isAnonymous,
  type LiveConnection,
  type LiveConnections,
  type PeerOf,
  type StillAllowed,
  stillAnchored,
  type TlsVersion,
} from '@countersign/mtls';
import type { RevocationSource } from '@countersign/spiffe';
import { type LiveSource, ownTrustDomain } from '../live/live-source.ts';
import { expectPeer, type PeerRules } from '../live/peer-rules.ts';
import { notePeer } from './peer-of.ts';
import { standingOf, wrongWithStanding } from './standing.ts';

export interface SecureServerOptions extends Pick<PeerRules, 'allow'> {
  /**
   * `require` (default): no certificate, no connection. `request`: a client may have none, and `peerOf` its requests is
   * undefined then; one with a wrong certificate is refused all the same.
   */
  readonly clientAuth?: 'require' | 'request';
  /** `['http/1.1']` unless given; `['h2']` or `['h2', 'http/1.1']` for a server of `node:http2`. */
  readonly alpn?: readonly string[];
  readonly minVersion?: TlsVersion;
  /** In logs and metrics; `server` unless given. */
  readonly name?: string;
  /** Open connections; further ones are dropped. 10,000 unless given. */
  readonly maxConnections?: number;
  /** What is no longer trusted, such as `followRevocations` knows. Without it, certificates end by their own date. */
  readonly revocation?: RevocationSource;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
}

export interface SecureServer {
  /**
   * @param port 0 takes any free one
   * @param host `127.0.0.1` unless given
   */
  listen(port: number, host?: string): Promise<{ readonly port: number; readonly address: string }>;
  /** Stops accepting, gives open connections `drainMs` (5,000 unless given) to end, then destroys the rest. */
  close(drainMs?: number): Promise<void>;
  readonly connections: LiveConnections;
}

/** How often connections whose certificates have ended are looked for. */
const askAgainMs = 10_000;

/**
 * Accepts mTLS connections for any server of Node: `node:http` and what is built on it (Express, Fastify), `node:http2`,
 * `node:net`, and those of `node:https` and `node:tls`, whose own certificates it makes needless. A server gets a
 * connection once its client is verified and allowed; what changes later (bundle, rules' clock, revocation) is asked again
 * of those that are open.
 *
 * The server itself does not listen.
 *
 * @throws CountersignError ERR_IDENTITY_PATTERN, ERR_TLS_CONTEXT
 */
export function secureServer(
  source: LiveSource,
  server: NetServer,
  options: SecureServerOptions = {},
): SecureServer {
  const { clock = systemClock, log = noLog, meter = noMeter, revocation } = options;
  const { minVersion, maxConnections } = options;
  // Those of TLS take connections whose handshake is over by another name.
  const event = 'setSecureContext' in server ? 'secureConnection' : 'connection';
  const allowed = expectPeer(options, () => ownTrustDomain(source))(undefined);
  const admit = (peer: PeerOf): StillAllowed => {
    if (isAnonymous(peer)) return { ok: true };
    return wrongWithStanding(peer, standingOf(peer, revocation), clock.now()) ?? allowed(peer);
  };
  const listener = createMtlsListener({
    name: options.name ?? 'server',
    ...{ svids: source, bundles: source, clock, log, meter, admit },
    clientAuth: options.clientAuth ?? 'require',
    ...(options.alpn === undefined ? {} : { alpn: options.alpn }),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(revocation?.prepare === undefined
      ? {}
      : { prepare: (peer, met) => revocation.prepare?.(peer, met) }),
    onConnection(socket, peer) {
      if (!isAnonymous(peer)) notePeer(socket, peer);
      server.emit(event, socket);
    },
  });
  const stopping = new AbortController();
  const unfollow = followChanges([source, revocation ?? {}], askAgain);

  function askAgain(): void {
    const anchored = stillAnchored({ bundles: source, at: clock.now(), purpose: 'client' });
    listener.connections.reask(function stillAdmitted({ peer }: LiveConnection) {
      const answer = anchored(peer);
      return answer.ok ? admit(peer) : answer;
    });
  }

  async function askAtTimes(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(askAgainMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) askAgain();
    }
  }

  return {
    connections: listener.connections,
    async listen(port, host = '127.0.0.1') {
      const bound = await listener.listen(port, host);
      void askAtTimes(stopping.signal);
      return bound;
    },
    async close(drainMs = 5000) {
      unfollow();
      stopping.abort();
      if ('closeIdleConnections' in server) (server.closeIdleConnections as () => void)();
      await listener.close(drainMs);
    },
  };
}
