import { type ClientHttp2Stream, constants } from 'node:http2';
import { CountersignError } from '@countersign/base';
import type { UpstreamController, UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

/** One request on an HTTP/2 stream, told to its handler as undici tells of those on HTTP/1.1. */
export class H2Request implements UpstreamController {
  readonly #stream: ClientHttp2Stream;
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  #isOver = false;
  #reason: Error | undefined;
  rawHeaders: string[] = [];
  rawTrailers: string[] = [];
  isHeadOnly = false;

  constructor(stream: ClientHttp2Stream, request: UpstreamRequest, handler: UpstreamHandler) {
    this.#stream = stream;
    this.#request = request;
    this.#handler = handler;
  }

  run(): void {
    const stream = this.#stream;
    const { headersTimeout, bodyTimeout, upgrade, body } = this.#request;
    stream.on('error', (thrown) => {
      this.#reason ??= thrown;
    });
    stream.once('close', () => this.#onClose());
    stream.once('response', (_headers, flags: number, raw: string[]) => {
      const status = Number(raw[1]);
      this.rawHeaders = raw.slice(2);
      if (upgrade !== undefined && status >= 200 && status < 300) return this.#onTunnel(status);
      this.isHeadOnly = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      stream.setTimeout(bodyTimeout);
      this.#guarded(() => this.#handler.onResponseStart(this, status));
      this.#readBody();
    });
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw: string[]) => {
      this.rawTrailers = raw;
    });
    stream.setTimeout(headersTimeout, () => {
      const waited = this.rawHeaders.length > 0 ? 'body' : 'head';
      const detail = `no ${waited} of the response in time`;
      this.abort(new CountersignError('ERR_UPSTREAM_TIMEOUT', detail));
    });
    this.#handler.onRequestStart(this);
    if (body !== null) void this.#sendBody(body);
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  #readBody(): void {
    const stream = this.#stream;
    stream.on('data', (chunk: Uint8Array) => {
      this.#guarded(() => this.#handler.onResponseData(this, chunk));
    });
    stream.once('end', () => {
      // A stream that is reset ends as well; only its close tells that.
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || this.#reason !== undefined) return;
      this.#isOver = true;
      this.#guarded(() => this.#handler.onResponseEnd(this));
    });
  }

  #onTunnel(status: number): void {
    this.#isOver = true;
    this.#stream.setTimeout(0);
    this.#handler.onRequestUpgrade(this, status, {}, this.#stream);
  }

  #onClose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onResponseError(this, this.#reason ?? this.#reset());
  }

  #reset(): Error {
    const { rstCode } = this.#stream;
    const isRefused = rstCode === constants.NGHTTP2_REFUSED_STREAM;
    const code = isRefused ? 'ERR_HTTP2_STREAM_REFUSED' : 'ERR_HTTP2_STREAM_RESET';
    return Object.assign(new Error(`stream was reset with code ${rstCode}`), { code });
  }

  async #sendBody(body: AsyncGenerator<Uint8Array>): Promise<void> {
    const stream = this.#stream;
    try {
      for await (const chunk of body) {
        if (stream.destroyed || stream.closed) return;
        if (!stream.write(chunk)) await roomOf(stream);
      }
      stream.end();
    } catch (thrown) {
      if (!stream.destroyed) this.abort(thrown as Error);
    }
  }

  /** What its handler throws breaks off this exchange alone. */
  #guarded(tell: () => void): void {
    try {
      tell();
    } catch (thrown) {
      this.#isOver = false;
      this.abort(thrown as Error);
    }
  }
}

/** Until it takes more, or never will. */
async function roomOf(stream: ClientHttp2Stream): Promise<void> {
  if (stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      stream.off('drain', go).off('close', go);
      resolve();
    };
    stream.on('drain', go).on('close', go);
  });
}
