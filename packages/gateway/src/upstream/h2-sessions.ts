import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type Http2Session,
} from 'node:http2';
import { CountersignError, type Log, messageOf } from '@countersign/base';
import type { UpstreamSocket } from './connections.ts';
import { H2Request } from './h2-request.ts';
import type { UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

export interface H2SessionsOptions {
  /** Opens a connection on which the upstream has agreed to HTTP/2. */
  readonly dial: () => Promise<UpstreamSocket>;
  readonly scheme: 'http' | 'https';
  /** For `:authority`, where a request names no host. */
  readonly authority: string;
  /** Open at the same time; further requests wait for a stream on one of them. */
  readonly maxSessions: number;
  /** On one connection in its life; undefined: any number. */
  readonly maxRequests?: number | undefined;
  /** On one connection at a time; 100 unless given, and never more than the server allows. */
  readonly maxStreams?: number;
  /** A connection without a request is closed then; a minute unless given. */
  readonly idleMs?: number;
  /** A connection takes no more requests then; undefined: it does for ever. */
  readonly maxAgeMs?: number | undefined;
  readonly log: Log;
}

interface Waiting {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
}

/** What a server that says nothing is taken to allow, and the most that we ask of one connection. */
const streamsOfSession = 100;
const usualIdleMs = 60_000;
/** Room for responses on their way; what the client does not take waits here. */
const streamWindow = 256 * 1024;
const connectionWindow = 1024 * 1024;

/** Fields that stand twice are passed on as they came; Node's types do not know the option here. */
const asHttp1: object = { strictSingleValueFields: false };

/**
 * HTTP/2 connections to one upstream, opened as they are needed: one carries as many requests as the server allows,
 * and only what is more waits for another.
 */
export class H2Sessions {
  readonly #options: H2SessionsOptions;
  readonly #open = new Map<ClientHttp2Session, number>();
  readonly #served = new WeakMap<ClientHttp2Session, number>();
  readonly #waiting: Waiting[] = [];
  #opening = 0;
  #isClosed = false;
  #whenOver: (() => void)[] = [];

  constructor(options: H2SessionsOptions) {
    this.#options = options;
  }

  /** Sends a request, at once or when there is room; what becomes of it is told to `handler`. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    const session = this.#free();
    if (session !== undefined) return void this.#start(session, { request, handler });
    if (this.#isClosed) return void handler.onResponseError(undefined, closedPool());
    this.#waiting.push({ request, handler });
    this.#openForWaiting();
  }

  /** Takes over a connection that is established already. */
  async adopt(socket: UpstreamSocket): Promise<void> {
    const session = await this.#greet(socket);
    this.#add(session);
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#failWaiting(closedPool());
    for (const session of this.#open.keys()) session.close();
    await this.#over();
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    this.#isClosed = true;
    this.#failWaiting(closedPool());
    for (const session of this.#open.keys()) session.destroy();
    await this.#over();
  }

  async #over(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => this.#whenOver.push(resolve));
  }

  #free(): ClientHttp2Session | undefined {
    for (const [session, streams] of this.#open) {
      const room = roomOf(session, this.#options.maxStreams);
      const isOpen = !session.closed && !session.destroyed && !this.#isSpent(session);
      if (isOpen && streams < room) return session;
    }
    return undefined;
  }

  /** Whether it has carried as many requests as it may. */
  #isSpent(session: ClientHttp2Session): boolean {
    const { maxRequests } = this.#options;
    return maxRequests !== undefined && (this.#served.get(session) ?? 0) >= maxRequests;
  }

  /** Whether a request can be sent at once. */
  get hasRoom(): boolean {
    return this.#free() !== undefined;
  }

  #openForWaiting(): void {
    const wanted = Math.ceil(this.#waiting.length / streamsOfSession);
    while (
      this.#opening < wanted &&
      this.#open.size + this.#opening < this.#options.maxSessions &&
      !this.#isClosed
    ) {
      this.#opening += 1;
      void this.#openOne();
    }
  }

  async #openOne(): Promise<void> {
    try {
      const session = await this.#greet(await this.#options.dial());
      this.#opening -= 1;
      this.#add(session);
    } catch (thrown) {
      this.#opening -= 1;
      if (this.#opening === 0 && this.#open.size === 0) this.#failWaiting(thrown as Error);
    }
  }

  /** A connection is of use once its server has said what it allows (RFC 9113 §3.4). */
  async #greet(socket: UpstreamSocket): Promise<ClientHttp2Session> {
    const session = connect(`${this.#options.scheme}://${this.#options.authority}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: streamWindow },
      maxSettings: 32,
      ...asHttp1,
    });
    session.on('error', (thrown) => {
      this.#options.log.debug({ reason: messageOf(thrown) }, 'upstream h2 session broke');
    });
    await new Promise<void>((resolve, reject) => {
      session.once('remoteSettings', () => resolve());
      session.once('close', () => {
        reject(new CountersignError('ERR_TLS_ABORTED', 'closed before it spoke HTTP/2'));
      });
    });
    session.setLocalWindowSize(connectionWindow);
    return session;
  }

  #add(session: ClientHttp2Session): void {
    if (this.#isClosed) return void session.close();
    this.#open.set(session, 0);
    const { maxAgeMs, idleMs = usualIdleMs } = this.#options;
    const ageing = maxAgeMs === undefined ? undefined : setTimeout(() => session.close(), maxAgeMs);
    ageing?.unref();
    session.setTimeout(idleMs, () => {
      if (this.#open.get(session) === 0) session.close();
    });
    session.once('close', () => {
      clearTimeout(ageing);
      this.#open.delete(session);
      if (this.#open.size === 0) for (const resolve of this.#whenOver.splice(0)) resolve();
      this.#openForWaiting();
    });
    this.#serveWaiting();
  }

  #serveWaiting(): void {
    while (this.#waiting.length > 0) {
      const session = this.#free();
      if (session === undefined) return void this.#openForWaiting();
      const next = this.#waiting.shift();
      if (next !== undefined) this.#start(session, next);
    }
  }

  #start(session: ClientHttp2Session, { request, handler }: Waiting): void {
    // RFC 8441 §3
    if (request.upgrade !== undefined && !session.remoteSettings.enableConnectProtocol) {
      const detail = 'upstream speaks HTTP/2 without tunnels for WebSocket (RFC 8441)';
      handler.onResponseError(undefined, new CountersignError('ERR_UPSTREAM_PROTOCOL', detail));
      return;
    }
    const stream = openStream(session, request, this.#options, handler);
    if (stream === undefined) return;
    this.#open.set(session, (this.#open.get(session) ?? 0) + 1);
    this.#served.set(session, (this.#served.get(session) ?? 0) + 1);
    stream.once('close', () => {
      const left = this.#open.get(session);
      if (left !== undefined) this.#open.set(session, left - 1);
      if (left === 1 && this.#isSpent(session)) session.close();
      this.#serveWaiting();
    });
    new H2Request(stream, request, handler).run();
  }

  #failWaiting(thrown: Error): void {
    for (const { handler } of this.#waiting.splice(0)) handler.onResponseError(undefined, thrown);
  }
}

function roomOf(session: Http2Session, most = streamsOfSession): number {
  return Math.min(session.remoteSettings.maxConcurrentStreams ?? most, most);
}

function openStream(
  session: ClientHttp2Session,
  request: UpstreamRequest,
  to: H2SessionsOptions,
  handler: UpstreamHandler,
): ClientHttp2Stream | undefined {
  try {
    const endStream = request.body === null && request.upgrade === undefined;
    return session.request(headOf(request, to) as never, { endStream });
  } catch (thrown) {
    handler.onResponseError(undefined, thrown as Error);
    return undefined;
  }
}

/** RFC 9113 §8.3.1, and RFC 8441 §4 for tunnels. */
function headOf(
  request: UpstreamRequest,
  { authority, scheme }: Pick<H2SessionsOptions, 'authority' | 'scheme'>,
): string[] {
  const { method, path, headers, upgrade, takesTrailers } = request;
  const rest: string[] = [];
  let host = authority;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]?.toLowerCase() ?? '';
    const value = headers[i + 1] ?? '';
    if (name === 'host') host = value;
    else if (name !== 'sec-websocket-key') rest.push(name, value);
  }
  if (takesTrailers) rest.push('te', 'trailers');
  const head = [':scheme', scheme, ':authority', host, ':path', path, ...rest];
  if (upgrade === undefined) return [':method', method, ...head];
  return [':method', constants.HTTP2_METHOD_CONNECT, ':protocol', upgrade, ...head];
}

function closedPool(): Error {
  return Object.assign(new Error('connections to the upstream are being closed'), {
    code: 'ERR_HTTP2_INVALID_SESSION',
  });
}
