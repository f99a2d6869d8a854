import { constants, type ServerHttp2Stream } from 'node:http2';
import type { ClientResponse } from './client-exchange.ts';

/** A response on an HTTP/2 stream, written as Node's HTTP/1.1 ones are. */
export class H2Response implements ClientResponse {
  readonly #stream: ServerHttp2Stream;
  readonly #isReceived: () => boolean;
  #trailers: readonly [string, string][] = [];

  /** @param isReceived whether all of the request was */
  constructor(stream: ServerHttp2Stream, isReceived: () => boolean) {
    this.#stream = stream;
    this.#isReceived = isReceived;
  }

  get headersSent(): boolean {
    return this.#stream.headersSent;
  }

  get writableFinished(): boolean {
    return this.#stream.writableFinished;
  }

  writeHead(status: number, headers: string[]): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.respond([':status', String(status), ...headers], { waitForTrailers: true });
    stream.once('wantTrailers', () => {
      const trailers = Object.create(null) as Record<string, string[]>;
      for (const [name, value] of this.#trailers) {
        const key = name.toLowerCase();
        trailers[key] = [...(trailers[key] ?? []), value];
      }
      stream.sendTrailers(trailers);
      this.#letGoOfBody();
    });
  }

  writeWhole(status: number, headers: string[]): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    stream.respond([':status', String(status), ...headers], { endStream: true });
    this.#letGoOfBody();
  }

  write(chunk: Uint8Array): boolean {
    return this.#stream.write(chunk);
  }

  addTrailers(trailers: readonly [string, string][]): void {
    this.#trailers = trailers;
  }

  end(body?: string): void {
    this.#stream.end(body);
  }

  destroy(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  once(event: 'close' | 'drain', listener: () => void): void {
    this.#stream.once(event, listener);
  }

  // RFC 9113 §8.1: the response is whole, and what is left of the request is of no use. A turn later, for a reset
  // overtakes what waits to be written.
  #letGoOfBody(): void {
    const stream = this.#stream;
    if (this.#isReceived()) return;
    setImmediate(() => {
      if (!this.#isReceived() && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }
}
