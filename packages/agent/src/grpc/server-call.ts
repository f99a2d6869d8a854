import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { PeerProcess } from '../peer/peer-process.ts';
import { type CallStatus, grpcStatus } from './grpc-status.ts';
import { frameOf } from './message-frames.ts';

const contentType = 'application/grpc';
/** For clients that compress, whose calls are refused. */
const acceptEncoding = { 'grpc-accept-encoding': 'identity' } as const;
const good: CallStatus = { code: grpcStatus.ok, details: '' };

/** One call of gRPC, until its status is on the way or its caller has hung up. */
export class ServerCall {
  /** Who made the connection. */
  readonly peer: PeerProcess;
  /** Told when what was sent has left, after {@link isBehind}. */
  onDrain: () => void = () => {};
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #onOver: (() => void)[] = [];
  #isAnswering = false;
  #isOver = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: PeerProcess) {
    this.peer = peer;
    this.#stream = stream;
    this.#headers = headers;
    stream.once('close', () => this.#finish());
    stream.on('drain', () => this.onDrain());
  }

  get isOver(): boolean {
    return this.#isOver || this.#stream.destroyed;
  }

  /** Whether anything was sent. */
  get isAnswering(): boolean {
    return this.#isAnswering;
  }

  /** Whether its caller does not read as fast as it is sent to. */
  get isBehind(): boolean {
    return this.#stream.writableNeedDrain;
  }

  /** A value of the call's metadata; one that was given twice has a comma between. */
  header(name: string): string | undefined {
    const value = this.#headers[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** Called once, when it is over; at once where it is. */
  onOver(listener: () => void): void {
    if (this.isOver) listener();
    else this.#onOver.push(listener);
  }

  send(message: Uint8Array): void {
    if (this.isOver) return;
    if (!this.#isAnswering) {
      this.#isAnswering = true;
      const headers = { ':status': 200, 'content-type': contentType };
      this.#stream.respond(headers, { waitForTrailers: true });
    }
    this.#stream.write(frameOf(message));
  }

  end(status: CallStatus = good): void {
    if (this.isOver) return;
    const stream = this.#stream;
    const trailers = trailersOf(status);
    if (this.#isAnswering) {
      stream.once('wantTrailers', () => stream.sendTrailers(trailers));
      stream.end();
    } else {
      // gRPC over HTTP/2 §Responses, Trailers-Only: a call that ends before its first message.
      const headers = { ':status': 200, 'content-type': contentType, ...acceptEncoding };
      stream.respond({ ...headers, ...trailers }, { endStream: true });
    }
    // What is still said is not heard; the stream ends with it.
    stream.resume();
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const listener of this.#onOver) listener();
  }
}

function trailersOf({ code, details }: CallStatus): Record<string, string> {
  if (details === '') return { 'grpc-status': String(code) };
  return { 'grpc-status': String(code), 'grpc-message': percentEncoded(details) };
}

/** gRPC over HTTP/2 §Responses: what is not printable ASCII, and the percent sign, by its bytes. */
function percentEncoded(text: string): string {
  return text.replace(/[^ -$&-~]+/g, (found) =>
    Buffer.from(found).reduce(
      (sum, byte) => `${sum}%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
      '',
    ),
  );
}
