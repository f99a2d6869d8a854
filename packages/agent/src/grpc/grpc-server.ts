import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { PeerProcess } from '../peer/peer-process.ts';
import type { GrpcMethod, RequestSink } from './grpc-method.ts';
import { type CallStatus, callStatus } from './grpc-status.ts';
import { deadlineMs } from './grpc-timeout.ts';
import { MessageReader } from './message-frames.ts';
import { ServerCall } from './server-call.ts';

/** Requests are names and tokens; nothing of ours needs more. */
const mostRequestBytes = 256 * 1024;

const sessionOptions = {
  // A client of many threads holds a stream for each; more than so many wait in it.
  settings: { maxConcurrentStreams: 1000 },
  // Whoever fetches once hangs up on a stream, which HTTP/2 counts as a reset; Node allows 33 of them a second and ends
  // the connection of who makes more. Here it is what the protocol asks for.
  streamResetBurst: 20_000,
  streamResetRate: 20_000,
} as const;

/**
 * gRPC over connections that others accept: HTTP/2 is Node's, what gRPC lays over it is here. Messages are not compressed,
 * and a client that compresses its own is told so.
 */
export class GrpcServer {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #methods = new Map<string, GrpcMethod>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Set<ServerCall>();
  #onIdle: () => void = () => {};

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  add(methods: readonly GrpcMethod[]): void {
    for (const method of methods) this.#methods.set(method.path, method);
  }

  /** Serves whoever is at the other end, until it leaves. */
  serve(socket: Socket, peer: PeerProcess): void {
    const session = performServerHandshake(socket, sessionOptions);
    this.#sessions.add(session);
    session.on('stream', (stream, headers) => this.#begin(stream, headers, peer));
    session.on('error', (thrown) => {
      this.#log.debug({ pid: peer.pid, reason: messageOf(thrown) }, 'connection broke');
    });
    session.once('close', () => {
      this.#sessions.delete(session);
      if (this.#sessions.size === 0) this.#onIdle();
    });
  }

  /**
   * Takes no more calls. Those that follow what changes end as UNAVAILABLE, by which a client knows to come again; others
   * have `drainMs` for their answer.
   */
  async close(drainMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      if (this.#sessions.size === 0) resolve();
    });
    for (const session of this.#sessions) session.close();
    for (const call of this.#calls) if (call.isAnswering) call.end(goingAway);
    const over = new AbortController();
    const overdue = this.#clock.sleep(drainMs, { signal: over.signal, ref: false }).catch(() => {});
    await Promise.race([idle, overdue]);
    over.abort();
    for (const session of this.#sessions) session.destroy();
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: PeerProcess): void {
    stream.on('error', (thrown) => {
      this.#log.debug({ pid: peer.pid, reason: messageOf(thrown) }, 'call broke');
    });
    // 1. what is no gRPC at all is answered as HTTP
    const wrong = wrongRequest(headers);
    if (wrong !== undefined) {
      stream.respond({ ':status': wrong }, { endStream: true });
      stream.resume();
      return;
    }
    const call = new ServerCall(stream, headers, peer);
    // 2. what gRPC has, and we have not
    const asked = this.#methodOf(headers);
    if ('code' in asked) {
      call.end(asked);
      return;
    }
    const { method, timeoutMs } = asked;
    // 3. the method takes its requests, for as long as nobody hangs up and there is time
    this.#calls.add(call);
    call.onOver(() => this.#calls.delete(call));
    if (timeoutMs !== undefined) this.#endAfter(timeoutMs, call);
    this.#try(call, () => {
      const requests = method.begin(call);
      if (!(requests instanceof Promise)) return this.#read(stream, call, requests);
      requests.then(
        (taken) => taken !== undefined && this.#read(stream, call, taken),
        (thrown: unknown) => this.#fail(call, thrown),
      );
    });
  }

  #methodOf(
    headers: IncomingHttpHeaders,
  ): { readonly method: GrpcMethod; readonly timeoutMs: number | undefined } | CallStatus {
    const { 'grpc-encoding': encoding = 'identity', 'grpc-timeout': timeout } = headers;
    if (encoding !== 'identity') {
      return callStatus('unimplemented', 'messages are read without compression alone');
    }
    const method = this.#methods.get(headers[':path'] ?? '');
    if (method === undefined) return callStatus('unimplemented', 'there is no such method');
    const timeoutMs = timeout === undefined ? undefined : deadlineMs(String(timeout));
    if (timeoutMs === 'malformed') return callStatus('internal', 'grpc-timeout is malformed');
    return { method, timeoutMs };
  }

  #read(stream: ServerHttp2Stream, call: ServerCall, requests: RequestSink): void {
    const reader = new MessageReader(mostRequestBytes);
    stream.on('data', (part: Buffer) => {
      if (call.isOver) return;
      const messages = reader.read(part);
      if ('code' in messages) {
        call.end(messages);
        return;
      }
      for (const message of messages) {
        if (call.isOver) return;
        this.#try(call, () => requests.message(message));
      }
    });
    stream.once('end', () => {
      if (call.isOver) return;
      if (reader.isAtEnd) this.#try(call, () => requests.ended());
      else call.end(callStatus('internal', 'the request ends within a message'));
    });
  }

  #try(call: ServerCall, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#fail(call, thrown);
    }
  }

  #fail(call: ServerCall, thrown: unknown): void {
    this.#log.error({ err: thrown }, 'a call failed');
    call.end(callStatus('internal', 'the call failed'));
  }

  #endAfter(timeoutMs: number, call: ServerCall): void {
    const over = new AbortController();
    call.onOver(() => over.abort());
    this.#clock.sleep(timeoutMs, { signal: over.signal, ref: false }).then(
      () => call.end(callStatus('deadlineExceeded', 'the deadline of the call is over')),
      () => {},
    );
  }
}

const goingAway = callStatus('unavailable', 'the agent stops');

/** The HTTP status for what gRPC does not begin like (gRPC over HTTP/2 §Requests). */
function wrongRequest(headers: IncomingHttpHeaders): number | undefined {
  if (headers[':method'] !== 'POST') return 405;
  const { 'content-type': type = '' } = headers;
  return /^application\/grpc(?:$|[+;])/.test(type) ? undefined : 415;
}
