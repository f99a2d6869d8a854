import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { type Clock, CountersignError } from '@countersign/base';
import type { GrpcConnection } from './grpc-channel.ts';
import { statusFailure } from './grpc-status.ts';

export interface GrpcCall {
  /** `package.Service/Method` */
  readonly path: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly message: Uint8Array;
  /** Names and values alternating. */
  readonly metadata: readonly string[];
  /** Until the whole answer is there; undefined: for as long as it takes. */
  readonly deadlineMs: number | undefined;
  /** Of one message. */
  readonly maxMessageBytes: number;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
}

/**
 * Makes a call with one message, and gives those of the answer as they come, at the pace of whoever takes them (gRPC
 * over HTTP/2). Ends where the method ended OK.
 *
 * @throws CountersignError ERR_SUBGRAPH_STATUS, ERR_SUBGRAPH_TIMEOUT, ERR_SUBGRAPH_RESPONSE, and what breaks the
 *   connection; the signal's reason
 */
export async function* callMessages(
  { session }: Pick<GrpcConnection, 'session'>,
  call: GrpcCall,
): AsyncGenerator<Buffer> {
  const { clock, deadlineMs, signal } = call;
  const stream = begin(session, call);
  const over = new AbortController();
  let reason: unknown;
  const giveUp = (thrown: unknown) => {
    reason ??= thrown;
    stream.close(constants.NGHTTP2_CANCEL);
  };
  stream.on('error', (thrown) => {
    reason ??= asUnsent(thrown);
  });
  const onAbort = () => giveUp(signal?.reason ?? new Error('given up'));
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true, signal: over.signal });
  if (deadlineMs !== undefined) {
    clock.sleep(deadlineMs, { signal: over.signal, ref: false }).then(
      () =>
        giveUp(new CountersignError('ERR_SUBGRAPH_TIMEOUT', `no answer within ${deadlineMs} ms`)),
      () => {},
    );
  }
  const told = listen(stream);
  stream.end(framed(call.message));
  try {
    yield* unframed(stream, told, call.maxMessageBytes);
    await told.closed;
    if (reason !== undefined) throw reason;
    const failed = told.outcome(stream);
    if (failed !== undefined) throw failed;
  } catch (thrown) {
    if (reason === undefined && thrown instanceof CountersignError) throw thrown;
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    await told.closed;
    throw reason ?? told.outcome(stream) ?? thrown;
  } finally {
    over.abort();
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  }
}

/** A connection that was closed between its choice and the call has carried nothing: another one may. */
function begin(session: GrpcConnection['session'], call: GrpcCall): ClientHttp2Stream {
  if (session.destroyed) throw closedBefore(undefined);
  return session.request(headOf(call) as never, { endStream: false });
}

/** Of a session that is closed and not yet destroyed, Node says so at the stream. */
function asUnsent(thrown: Error & { code?: string }): Error {
  return thrown.code === 'ERR_HTTP2_GOAWAY_SESSION' ? closedBefore(thrown) : thrown;
}

function closedBefore(cause: unknown): CountersignError {
  const message = 'the connection was closed before the call';
  return new CountersignError('ERR_DIAL_UNREACHABLE', message, { cause });
}

function headOf(call: GrpcCall): string[] {
  const timeout = call.deadlineMs;
  return [
    ...[':method', 'POST', ':scheme', call.scheme, ':authority', call.authority],
    ...[':path', `/${call.path}`, 'te', 'trailers', 'content-type', 'application/grpc'],
    ...['grpc-accept-encoding', 'identity', 'user-agent', 'countersign-router'],
    // gRPC over HTTP/2, "Timeout": at most eight digits.
    ...(timeout === undefined ? [] : ['grpc-timeout', `${Math.min(timeout, 99_999_999)}m`]),
    ...call.metadata,
  ];
}

interface Told {
  /** Undefined until the response's head is there. */
  readonly head: () => IncomingHttpHeaders | undefined;
  /** Resolves with the stream, whatever became of it. */
  readonly closed: Promise<void>;
  /** Why it did not end OK, once it is closed. */
  readonly outcome: (stream: ClientHttp2Stream) => Error | undefined;
}

function listen(stream: ClientHttp2Stream): Told {
  let head: IncomingHttpHeaders | undefined;
  let trailers: IncomingHttpHeaders | undefined;
  stream.once('response', (headers) => {
    head = headers;
  });
  stream.once('trailers', (headers) => {
    trailers = headers;
  });
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  return { head: () => head, closed, outcome: () => outcomeOf(head, trailers, stream) };
}

function outcomeOf(
  head: IncomingHttpHeaders | undefined,
  trailers: IncomingHttpHeaders | undefined,
  stream: ClientHttp2Stream,
): Error | undefined {
  const last = trailers ?? head ?? {};
  const code = last['grpc-status'];
  if (code !== undefined) return statusFailure(String(code), String(last['grpc-message'] ?? ''));
  if (head === undefined && stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
    return new CountersignError('ERR_DIAL_UNREACHABLE', 'the stream was refused');
  }
  const wrong = head === undefined ? undefined : wrongHead(head);
  return wrong ?? new Error(`broke off without a status, with code ${stream.rstCode}`);
}

function wrongHead(head: IncomingHttpHeaders): CountersignError | undefined {
  const status = head[':status'];
  const type = head['content-type'] ?? '';
  if (Number(status) === 200 && /^application\/grpc($|[+;])/.test(type)) return undefined;
  const detail = `answered ${status} with "${type}", application/grpc is expected`;
  return new CountersignError('ERR_SUBGRAPH_RESPONSE', detail, { fields: { status } });
}

// gRPC over HTTP/2, "Length-Prefixed-Message"
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

async function* unframed(
  stream: ClientHttp2Stream,
  told: Told,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = [];
  let size = 0;
  let needed = 5;
  // An early end is a cancellation, which `callMessages` says in the protocol's own word.
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    const head = told.head();
    const wrong = head === undefined ? undefined : wrongHead(head);
    if (wrong !== undefined) throw wrong;
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size < needed) continue;
    let left = Buffer.concat(chunks, size);
    for (needed = neededOf(left, maxBytes); left.length >= needed; ) {
      yield left.subarray(5, needed);
      left = left.subarray(needed);
      needed = neededOf(left, maxBytes);
    }
    [chunks, size] = [[left], left.length];
  }
  if (size > 0) throw wrongAnswer('a message that breaks off');
}

/** How many bytes the message at the beginning takes, its prefix included. */
function neededOf(bytes: Buffer, maxBytes: number): number {
  if (bytes.length < 5) return 5;
  if (bytes.readUInt8(0) !== 0) throw wrongAnswer('a compressed message, which was not asked for');
  const length = bytes.readUInt32BE(1);
  if (length > maxBytes) {
    const what = `a message of ${length} bytes, more than ${maxBytes}`;
    throw wrongAnswer(what, { limit: maxBytes });
  }
  return 5 + length;
}

function wrongAnswer(what: string, fields = {}): CountersignError {
  return new CountersignError('ERR_SUBGRAPH_RESPONSE', `answered with ${what}`, { fields });
}
