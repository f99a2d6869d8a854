import type { Dispatcher } from 'undici';

/** What undici's pools and {@link H2Sessions} are asked alike. */
export interface UpstreamRequest {
  readonly method: Dispatcher.HttpMethod;
  /** Path and query. */
  readonly path: string;
  /** Names and values alternating, `host` included. */
  readonly headers: readonly string[];
  readonly body: AsyncGenerator<Uint8Array> | null;
  /** Until the head of the response; 0 waits for ever. */
  readonly headersTimeout: number;
  /** Between two pieces of the response body; 0 waits for ever. */
  readonly bodyTimeout: number;
  /** Asks for a tunnel of this protocol. */
  readonly upgrade?: string;
  readonly isGrpc: boolean;
  readonly takesTrailers: boolean;
}

export interface UpstreamController
  extends Pick<Dispatcher.DispatchController, 'abort' | 'pause' | 'resume' | 'rawHeaders'> {
  readonly rawTrailers?: Dispatcher.DispatchController['rawHeaders'];
  /** The response is its head alone, as gRPC's are that have trailers and no messages. */
  readonly isHeadOnly?: boolean;
}

/** The part of undici's handler that is used here. */
export interface UpstreamHandler {
  onRequestStart(controller: UpstreamController): void;
  onRequestUpgrade(
    controller: UpstreamController,
    status: number,
    headers: unknown,
    socket: import('node:stream').Duplex,
  ): void;
  onResponseStart(controller: UpstreamController, status: number): void;
  onResponseData(controller: UpstreamController, chunk: Uint8Array): void;
  onResponseEnd(controller: UpstreamController): void;
  onResponseError(controller: UpstreamController | undefined, thrown: Error): void;
}
