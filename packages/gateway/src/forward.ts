import { Permit } from '@countersign/authz';
import { type Denial, denial } from '@countersign/base';
import type { Dispatcher } from 'undici';
import type { ClientExchange } from './client/client-exchange.ts';
import { failureOf, isClosedByUpstream } from './forward-failure.ts';
import { downstreamHeaders, downstreamTrailers } from './forwarded-headers.ts';
import { startDeadline } from './grpc.ts';
import { requestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import { type Spliced, splice } from './splice.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { UpstreamController, UpstreamHandler } from './upstream/upstream-request.ts';
import { newWebSocketKey, wrongWithAccept } from './websocket-handshake.ts';

/** One permitted request on its way. */
export interface Exchange {
  readonly client: ClientExchange;
  readonly head: RequestHead;
  readonly upstream: Upstream;
  /** For the upstream, names and values alternating. */
  readonly headers: readonly string[];
  readonly maxBodyBytes: number | undefined;
  /** Whether the client's connection ends with this response; asked when the response begins. */
  readonly closesAfter: () => boolean;
  /** Ends a connection that carries other requests as well, once these are over. */
  readonly retire: () => void;
}

/**
 * `answered`: a response was passed on, whole. `tunnelled`: bytes were passed on both ways until either side ended.
 * `failed`: nothing was sent, the caller answers. `broken`: a response had begun and could not be ended, the client can
 * tell. `left`: the client went away.
 */
export type Forwarded =
  | { readonly kind: 'answered'; readonly status: number }
  | ({ readonly kind: 'tunnelled'; readonly status: number } & Spliced)
  | { readonly kind: 'failed'; readonly failure: Denial }
  | { readonly kind: 'broken'; readonly failure: Denial; readonly status: number }
  | { readonly kind: 'left' };

/**
 * The one way to an upstream; it takes the evidence that the rules permit it. Streams both ways, at the pace of the
 * slower side, between any two versions of HTTP. A request without a body whose method is safe is sent once more when
 * its pooled connection turns out to be closed (RFC 9110 §9.2.2); no other is.
 */
export function forward(permit: Permit, exchange: Exchange): Promise<Forwarded> {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'request') {
    throw new TypeError('forward takes a permit for a request');
  }
  return new Promise((resolve) => new Forwarding(exchange, resolve).send());
}

const retriable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

class Forwarding implements UpstreamHandler {
  readonly #exchange: Exchange;
  readonly #resolve: (outcome: Forwarded) => void;
  readonly #key: string | undefined;
  #endDeadline: (() => void) | undefined;
  #controller: UpstreamController | undefined;
  /** Why it was given up, perhaps before the upstream had taken it up. */
  #reason: Error | undefined;
  #attempts = 0;
  #clientLeft = false;
  #isTunnel = false;
  #isWhole = false;
  #status = 0;

  constructor(exchange: Exchange, resolve: (outcome: Forwarded) => void) {
    const { client, head } = exchange;
    this.#exchange = exchange;
    this.#resolve = resolve;
    this.#key = head.isWebSocket ? newWebSocketKey() : undefined;
    client.response.once('close', () => this.#onClientClose());
    if (!head.isGrpc) return;
    this.#endDeadline = startDeadline(client.request.rawHeaders, (late) => this.#abort(late));
  }

  send(): void {
    const { client, head, headers, upstream, maxBodyBytes } = this.#exchange;
    this.#attempts += 1;
    const { isGrpc, takesTrailers, target } = head;
    const asked = {
      method: head.method as Dispatcher.HttpMethod,
      path: target.query === '' ? target.path : `${target.path}${target.query}`,
      headers,
      body: head.hasBody ? requestBody(client.request, maxBodyBytes) : null,
      headersTimeout: upstream.config.timeout,
      bodyTimeout: upstream.config.idleTimeout,
      isGrpc,
      takesTrailers,
    };
    if (this.#key === undefined) return void upstream.dispatch(asked, this);
    const withKey = [...headers, 'Sec-WebSocket-Key', this.#key];
    upstream.dispatch({ ...asked, headers: withKey, upgrade: 'websocket' }, this);
  }

  onRequestStart(controller: UpstreamController): void {
    this.#controller = controller;
    if (this.#reason !== undefined) controller.abort(this.#reason);
  }

  onRequestUpgrade(
    controller: UpstreamController,
    status: number,
    _headers: unknown,
    upstream: Parameters<typeof splice>[1],
  ): void {
    const { client, upstream: to } = this.#exchange;
    const raw = asStrings(controller.rawHeaders);
    const wrong =
      status === 101 && this.#key !== undefined ? wrongWithAccept(raw, this.#key) : undefined;
    if (this.#clientLeft || wrong !== undefined || client.openTunnel === undefined) {
      upstream.destroy();
      const failure = wrong ?? denial('ERR_UPSTREAM_BROKE', 'switched protocols unasked');
      return void this.#over(this.#clientLeft ? { kind: 'left' } : { kind: 'failed', failure });
    }
    this.#isTunnel = true;
    const opened = client.openTunnel(downstreamHeaders(raw, isOfHandshake));
    void splice(opened, upstream, { idleMs: to.config.idleTimeout }).then((spliced) => {
      this.#over({ kind: 'tunnelled', status, ...spliced });
    });
  }

  onResponseStart(controller: UpstreamController, status: number): void {
    // RFC 9110 §15.2: interim responses need not be passed on.
    if (status < 200) return;
    this.#status = status;
    const { client, closesAfter, retire } = this.#exchange;
    const { request, response, protocol } = client;
    const headers = downstreamHeaders(asStrings(controller.rawHeaders));
    if (protocol === 'h2') {
      if (closesAfter()) retire();
      this.#isWhole = controller.isHeadOnly === true && response.writeWhole !== undefined;
      if (this.#isWhole) return void response.writeWhole?.(status, headers);
    } else if (!request.complete || closesAfter()) {
      // What is left of an unread request body would be taken for the next request.
      headers.push('Connection', 'close');
    }
    response.writeHead(status, headers);
  }

  onResponseData(controller: UpstreamController, chunk: Uint8Array): void {
    const { response } = this.#exchange.client;
    if (response.write(chunk)) return;
    controller.pause();
    response.once('drain', () => controller.resume());
  }

  onResponseEnd(controller: UpstreamController): void {
    const { client, head } = this.#exchange;
    if (!this.#isWhole) {
      const trailers = head.takesTrailers ? asStrings(controller.rawTrailers) : [];
      if (trailers.length > 0) client.response.addTrailers(downstreamTrailers(trailers));
      client.response.end();
    }
    this.#over({ kind: 'answered', status: this.#status });
  }

  onResponseError(_controller: UpstreamController | undefined, thrown: Error): void {
    const { client, head } = this.#exchange;
    const { response } = client;
    const isFresh = this.#attempts === 1 && !response.headersSent;
    const isSafe = !head.hasBody && retriable.has(head.method) && !head.isWebSocket;
    if (isFresh && isSafe && this.#reason === undefined && isClosedByUpstream(thrown)) {
      this.send();
      return;
    }
    const outcome = this.#outcomeOf(thrown, response.headersSent);
    if (response.headersSent && !response.writableFinished) this.#breakOff(outcome);
    this.#over(outcome);
  }

  /** A gRPC client is told of its deadline in its own words. */
  #breakOff(outcome: Forwarded): void {
    const { client, head } = this.#exchange;
    const isLate = outcome.kind === 'broken' && outcome.failure.code === 'ERR_GATEWAY_DEADLINE';
    if (!head.isGrpc || !isLate || client.protocol !== 'h2') return void client.response.destroy();
    client.response.addTrailers([['grpc-status', '4']]);
    client.response.end();
  }

  #outcomeOf(thrown: Error, hasBegun: boolean): Forwarded {
    if (this.#clientLeft) return { kind: 'left' };
    const failure = failureOf(thrown);
    return hasBegun
      ? { kind: 'broken', failure, status: this.#status }
      : { kind: 'failed', failure };
  }

  #onClientClose(): void {
    if (this.#isTunnel || this.#exchange.client.response.writableFinished) return;
    this.#clientLeft = true;
    this.#abort(new Error('client left'));
    this.#over({ kind: 'left' });
  }

  #abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(reason);
  }

  #over(outcome: Forwarded): void {
    this.#endDeadline?.();
    this.#resolve(outcome);
  }
}

const isOfHandshake = new Set(['sec-websocket-accept']);

function asStrings(raw: UpstreamController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
