import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { CountersignError, messageOf } from '@countersign/base';
import { dialMtls } from '@countersign/mtls';
import type { VerifiedPeer, X509Svid } from '@countersign/spiffe';
import {
  dialOptionsOf,
  renewalOf,
  type SubgraphEndpoint,
  type Trust,
} from '../subgraph/subgraph-pool.ts';
import { KeepAlive, probe } from './keep-alive.ts';

/** A connection, and who is at its other end; nobody knows in plaintext. */
export interface GrpcConnection {
  readonly session: ClientHttp2Session;
  readonly peer: VerifiedPeer | undefined;
  /** Held by what streams on it. */
  readonly keepAlive: KeepAlive;
}

interface Held extends GrpcConnection {
  readonly svid: X509Svid | undefined;
  readonly renewAt: number;
}

/** Room for answers on their way; what the caller does not take waits here. */
const streamWindow = 256 * 1024;
const connectionWindow = 1024 * 1024;

/**
 * The HTTP/2 connection to a gRPC subgraph, on which all calls go side by side. It is made anew, make before break, when
 * our own identity rotates, the subgraph's certificate nears its end, or the other side closes it: new calls go over
 * the new one, those under way end on the old.
 */
export class GrpcChannel {
  readonly #endpoint: SubgraphEndpoint;
  readonly #trust: Trust;
  readonly #onConnected: ((peer: VerifiedPeer) => void) | undefined;
  readonly #isPlaintext: boolean;
  readonly #keepAliveMs: number;
  readonly #sessions = new Set<ClientHttp2Session>();
  #held: Held | undefined;
  #opening: { readonly svid: X509Svid | undefined; readonly held: Promise<Held> } | undefined;
  #isClosed = false;

  /**
   * @param keepAliveMs how often a connection on which something streams is asked whether it is there
   * @param onConnected undefined: in plaintext, where nobody proves anything
   */
  constructor(
    endpoint: SubgraphEndpoint,
    trust: Trust,
    keepAliveMs: number,
    onConnected: ((peer: VerifiedPeer) => void) | undefined,
  ) {
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#keepAliveMs = keepAliveMs;
    this.#onConnected = onConnected;
    this.#isPlaintext = onConnected === undefined;
  }

  /** Who answered at the newest connection. */
  get peer(): VerifiedPeer | undefined {
    return this.#held?.peer;
  }

  /**
   * The connection for a new call.
   *
   * @throws CountersignError what dialling throws, and ERR_SUBGRAPH_RESPONSE where the other side speaks no HTTP/2
   */
  async connection(): Promise<GrpcConnection> {
    const svid = this.#isPlaintext ? undefined : this.#trust.svids.svid();
    const held = this.#held;
    if (held !== undefined && this.#isFresh(held, svid)) return held;
    if (this.#opening === undefined || this.#opening.svid !== svid) this.#open(svid);
    return await (this.#opening as { held: Promise<Held> }).held;
  }

  /** Asks a connection that gave no answer in time whether it is still there, and ends it if not. */
  probe({ session }: GrpcConnection): void {
    void probe(session, this.#trust.clock);
  }

  /** Lets calls under way end, then closes every connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#sessions].map((session) => closed(session, () => session.close())));
  }

  async destroy(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#sessions];
    await Promise.all(all.map((session) => closed(session, () => session.destroy())));
  }

  #isFresh({ session, svid, renewAt }: Held, own: X509Svid | undefined): boolean {
    if (session.closed || session.destroyed) return false;
    return svid === own && this.#trust.clock.now() < renewAt;
  }

  #open(svid: X509Svid | undefined): void {
    const held = this.#connect(svid);
    const opening = { svid, held };
    this.#opening = opening;
    held
      .then(
        (fresh) => {
          const old = this.#held;
          this.#held = fresh;
          old?.session.close();
          if (this.#isClosed) fresh.session.close();
        },
        () => {},
      )
      .finally(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
  }

  async #connect(svid: X509Svid | undefined): Promise<Held> {
    const { url } = this.#endpoint;
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    if (this.#isPlaintext) {
      const socket = connectTcp({ host, port: Number(url.port === '' ? '80' : url.port) });
      const session = await this.#greet(socket);
      const keepAlive = this.#keepAliveOf(session);
      return { session, svid, keepAlive, peer: undefined, renewAt: Number.POSITIVE_INFINITY };
    }
    const { socket, peer } = await dialMtls({
      ...dialOptionsOf(this.#endpoint, this.#trust),
      ...{ host, port: Number(url.port === '' ? '443' : url.port), alpn: ['h2'] },
    });
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      const detail = `speaks "${socket.alpnProtocol || 'no protocol by ALPN'}", "h2" is expected`;
      throw new CountersignError('ERR_SUBGRAPH_RESPONSE', detail);
    }
    const session = await this.#greet(socket);
    this.#onConnected?.(peer);
    const keepAlive = this.#keepAliveOf(session);
    return { session, svid, keepAlive, peer, renewAt: renewalOf(peer, this.#trust) };
  }

  #keepAliveOf(session: ClientHttp2Session): KeepAlive {
    return new KeepAlive(session, this.#keepAliveMs, this.#trust.clock);
  }

  /**
   * A connection is of use once its server has said what it allows (RFC 9113 §3.4): with TLS 1.3 a server that refuses
   * our certificate says so only after the handshake.
   */
  async #greet(socket: Duplex): Promise<ClientHttp2Session> {
    const { url, timeoutMs } = this.#endpoint;
    const session = connect(`${this.#isPlaintext ? 'http' : 'https'}://${url.host}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: streamWindow },
      maxSettings: 32,
    });
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    let reason: Error | undefined;
    session.on('error', (thrown: Error) => {
      reason = thrown;
      this.#trust.log.debug({ reason: messageOf(thrown) }, 'gRPC connection broke');
    });
    const over = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        session.once('remoteSettings', () => resolve());
        session.once('close', () =>
          reject(this.#isPlaintext ? closedEarly(reason) : refused(reason)),
        );
        const ms = Math.min(timeoutMs, 10_000);
        this.#trust.clock.sleep(ms, { signal: over.signal, ref: false }).then(
          () => reject(new CountersignError('ERR_DIAL_TIMEOUT', `no HTTP/2 within ${ms} ms`)),
          () => {},
        );
      });
    } catch (thrown) {
      session.destroy();
      throw thrown;
    } finally {
      over.abort();
    }
    session.setLocalWindowSize(connectionWindow);
    return session;
  }
}

function closedEarly(reason: Error | undefined): Error {
  return reason ?? new Error('closed before it spoke HTTP/2');
}

/** All that a server without an alert for us says of a certificate that it does not take. */
function refused(reason: Error | undefined): CountersignError {
  const told = reason === undefined ? '' : `: ${reason.message}`;
  const detail = `closed once it had our certificate, before it spoke HTTP/2${told}`;
  return new CountersignError('ERR_SUBGRAPH_IDENTITY', detail, { cause: reason });
}

async function closed(session: ClientHttp2Session, end: () => void): Promise<void> {
  if (session.destroyed) return;
  await new Promise<void>((resolve) => {
    session.once('close', () => resolve());
    end();
  });
}
