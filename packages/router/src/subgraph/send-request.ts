import type { Readable } from 'node:stream';
import { CountersignError } from '@countersign/base';
import type { Dispatcher } from 'undici';

export interface SubgraphRequest {
  readonly path: string;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  readonly body: string | Readable;
  readonly maxResponseBytes: number;
  readonly signal: AbortSignal | undefined;
}

export interface SubgraphResponse {
  readonly status: number;
  readonly contentType: string;
  readonly cacheControl: string | undefined;
  readonly text: string;
}

/** Sends one POST and reads the whole answer, within its limit. */
export function sendRequest(
  dispatcher: Dispatcher,
  request: SubgraphRequest,
): Promise<SubgraphResponse> {
  return new Promise((resolve, reject) => {
    dispatcher.dispatch(
      {
        method: 'POST',
        path: request.path,
        headers: request.headers as string[],
        body: request.body,
      },
      new Receiving(request, resolve, reject),
    );
  });
}

class Receiving implements Dispatcher.DispatchHandler {
  readonly #request: SubgraphRequest;
  readonly #resolve: (response: SubgraphResponse) => void;
  readonly #reject: (thrown: unknown) => void;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #bytes = 0;
  #status = 0;
  #contentType = '';
  #cacheControl: string | undefined;

  constructor(
    request: SubgraphRequest,
    resolve: (response: SubgraphResponse) => void,
    reject: (thrown: unknown) => void,
  ) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    request.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#request.signal?.reason;
    const thrown = reason instanceof Error ? reason : new Error('given up');
    this.#controller?.abort(thrown);
    this.#end();
    this.#reject(thrown);
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#request.signal?.aborted === true) this.#onAbort();
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#status = status;
    this.#contentType = String(headers['content-type'] ?? '');
    const cacheControl = headers['cache-control'];
    this.#cacheControl = cacheControl === undefined ? undefined : String(cacheControl);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
    const { maxResponseBytes } = this.#request;
    if (this.#bytes <= maxResponseBytes) return;
    const message = `answer of more than ${maxResponseBytes} bytes`;
    const fields = { limit: maxResponseBytes };
    controller.abort(new CountersignError('ERR_SUBGRAPH_RESPONSE', message, { fields }));
  }

  onResponseEnd(): void {
    this.#end();
    const [first] = this.#chunks;
    const isOne = this.#chunks.length === 1 && first !== undefined;
    this.#resolve({
      status: this.#status,
      contentType: this.#contentType,
      cacheControl: this.#cacheControl,
      text: isOne ? first.toString('utf8') : Buffer.concat(this.#chunks).toString('utf8'),
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    this.#end();
    this.#reject(thrown);
  }

  #end(): void {
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }
}
