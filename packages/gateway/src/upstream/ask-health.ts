import { once } from 'node:events';
import type { HealthQuestion } from '../model/health-model.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamController, UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

/** `silent`: nothing that could be an answer. */
export type HealthAnswer =
  | { readonly kind: 'good' }
  | { readonly kind: 'bad' | 'silent'; readonly reason: string };

/** Asks once, on connections of its own, with the identity that requests are sent with. */
export function askHealth(
  upstream: Upstream,
  ask: HealthQuestion,
  signal: AbortSignal,
): Promise<HealthAnswer> {
  if (ask.kind === 'tcp') return askTcp(upstream, ask, signal);
  return ask.kind === 'http' ? askHttp(upstream, ask, signal) : askGrpc(upstream, ask, signal);
}

const good: HealthAnswer = { kind: 'good' };
const longestAnswer = 64 * 1024;

async function askHttp(
  upstream: Upstream,
  { path, host, statuses }: HealthQuestion & { kind: 'http' },
  signal: AbortSignal,
): Promise<HealthAnswer> {
  const headers = ['Host', host ?? upstream.authority, 'User-Agent', 'countersign-health'];
  const told = await probe(upstream, { method: 'GET', path, headers, signal });
  if ('reason' in told) return told;
  if (statuses.some(([from, to]) => told.status >= from && told.status <= to)) return good;
  return { kind: 'bad', reason: `status ${told.status}` };
}

async function askGrpc(
  upstream: Upstream,
  { service, authority }: HealthQuestion & { kind: 'grpc' },
  signal: AbortSignal,
): Promise<HealthAnswer> {
  const headers = [
    ...['Host', authority ?? upstream.authority],
    ...['content-type', 'application/grpc', 'user-agent', 'countersign-health'],
  ];
  const path = '/grpc.health.v1.Health/Check';
  const body = messageOf(service);
  const told = await probe(upstream, { method: 'POST', path, headers, body, signal });
  if ('reason' in told) return told;
  // HealthCheckResponse: field 1 is the status, 1 of it is SERVING.
  const isServing = told.body.subarray(5).equals(Buffer.from([0x08, 0x01]));
  if (told.status === 200 && isServing) return good;
  const status = told.grpcStatus ?? 'none';
  return { kind: 'bad', reason: `status ${told.status}, grpc-status ${status}, not SERVING` };
}

/** HealthCheckRequest in the frame of a gRPC message. */
function messageOf(service: string): Buffer {
  const name = Buffer.from(service);
  const field = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(field.length, 1);
  return Buffer.concat([frame, field]);
}

interface Told {
  readonly status: number;
  readonly grpcStatus: string | undefined;
  readonly body: Buffer;
}

interface Probe {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: readonly string[];
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

function probe(
  upstream: Upstream,
  { body, signal, ...asked }: Probe,
): Promise<Told | (HealthAnswer & { kind: 'silent' })> {
  const request: UpstreamRequest = {
    ...asked,
    body: body === undefined ? null : whole(body),
    ...{ headersTimeout: 0, bodyTimeout: 0 },
    ...{ isGrpc: body !== undefined, takesTrailers: body !== undefined },
  };
  return new Promise((resolve) => {
    const listening = new Listening(
      signal,
      (told) => resolve(told),
      (reason) => resolve({ kind: 'silent', reason }),
    );
    upstream.probe(request, listening);
  });
}

async function* whole(body: Uint8Array): AsyncGenerator<Uint8Array> {
  yield body;
}

class Listening implements UpstreamHandler {
  readonly #signal: AbortSignal;
  readonly #told: (told: Told) => void;
  readonly #failed: (reason: string) => void;
  readonly #chunks: Uint8Array[] = [];
  #status = 0;
  #length = 0;

  constructor(signal: AbortSignal, told: (told: Told) => void, failed: (reason: string) => void) {
    this.#signal = signal;
    this.#told = told;
    this.#failed = failed;
    signal.addEventListener('abort', () => failed('no answer in time'), { once: true });
  }

  onRequestStart(controller: UpstreamController): void {
    const abort = (): void => controller.abort(new Error('no answer in time'));
    if (this.#signal.aborted) abort();
    else this.#signal.addEventListener('abort', abort, { once: true });
  }

  onRequestUpgrade(
    _controller: UpstreamController,
    _status: number,
    _headers: unknown,
    socket: import('node:stream').Duplex,
  ): void {
    socket.destroy();
    this.#failed('switched protocols unasked');
  }

  onResponseStart(_controller: UpstreamController, status: number): void {
    this.#status = status;
  }

  onResponseData(controller: UpstreamController, chunk: Uint8Array): void {
    this.#length += chunk.length;
    if (this.#length <= longestAnswer) this.#chunks.push(chunk);
    else controller.abort(new Error('answer without an end'));
  }

  onResponseEnd({ rawTrailers }: UpstreamController): void {
    const trailers = (rawTrailers ?? []) as readonly (string | Buffer)[];
    const at = trailers.findIndex((each) => String(each).toLowerCase() === 'grpc-status');
    const grpcStatus = at === -1 ? undefined : String(trailers[at + 1]);
    this.#told({ status: this.#status, grpcStatus, body: Buffer.concat(this.#chunks) });
  }

  onResponseError(_controller: UpstreamController | undefined, thrown: Error): void {
    this.#failed(thrown.message);
  }
}

async function askTcp(
  upstream: Upstream,
  { send, receive }: HealthQuestion & { kind: 'tcp' },
  signal: AbortSignal,
): Promise<HealthAnswer> {
  let received = Buffer.alloc(0);
  try {
    const socket = await upstream.open({ alpn: [], signal });
    try {
      if (send !== undefined) socket.write(Buffer.from(send, 'hex'));
      while (!hasAll(received, receive)) {
        const closed = once(socket, 'close', { signal }).then(() => undefined);
        const data = once(socket, 'data', { signal }).then(([chunk]) => chunk as Buffer);
        const chunk = await Promise.race([data, closed]);
        if (chunk === undefined) return { kind: 'silent', reason: 'closed before its answer' };
        received = Buffer.concat([received, chunk]);
        if (received.length > longestAnswer) return { kind: 'bad', reason: 'another answer' };
      }
      return good;
    } finally {
      socket.destroy();
    }
  } catch (thrown) {
    const reason = signal.aborted ? 'no answer in time' : (thrown as Error).message;
    return { kind: 'silent', reason };
  }
}

function hasAll(received: Buffer, wanted: readonly string[]): boolean {
  let at = 0;
  for (const each of wanted) {
    const bytes = Buffer.from(each, 'hex');
    const found = received.indexOf(bytes, at);
    if (found === -1) return false;
    at = found + bytes.length;
  }
  return true;
}
