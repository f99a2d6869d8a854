import type { IncomingMessage, ServerResponse } from 'node:http';
import { Permit } from '@countersign/authz';
import {
  CountersignError,
  type Denial,
  denial,
  type ErrorCode,
  messageOf,
} from '@countersign/base';
import type { Dispatcher } from 'undici';
import { downstreamHeaders } from './forwarded-headers.ts';
import { requestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import type { Upstream } from './upstream.ts';

/** One permitted request on its way. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly head: RequestHead;
  readonly upstream: Upstream;
  /** For the upstream, names and values alternating. */
  readonly headers: readonly string[];
  readonly maxBodyBytes: number | undefined;
  /** Whether the client's connection ends with this response; asked when the response begins. */
  readonly closesAfter: () => boolean;
}

/**
 * `answered`: a response was passed on, whole. `failed`: nothing was sent, the caller answers. `broken`: a response had
 * begun and could not be ended, the client's connection is gone. `left`: the client went away.
 */
export type Forwarded =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'failed'; readonly failure: Denial }
  | { readonly kind: 'broken'; readonly failure: Denial; readonly status: number }
  | { readonly kind: 'left' };

/**
 * The one way to an upstream; it takes the evidence that the rules permit it. Streams both ways, at the pace of the
 * slower side. A request without a body whose method is safe is sent once more when its pooled connection turns out
 * to be closed (RFC 9110 §9.2.2); no other is.
 */
export function forward(permit: Permit, exchange: Exchange): Promise<Forwarded> {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'request') {
    throw new TypeError('forward takes a permit for a request');
  }
  return new Promise((resolve) => new Forwarding(exchange, resolve).send());
}

const retriable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

class Forwarding implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #resolve: (outcome: Forwarded) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #attempts = 0;
  #clientLeft = false;
  #status = 0;

  constructor(exchange: Exchange, resolve: (outcome: Forwarded) => void) {
    this.#exchange = exchange;
    this.#resolve = resolve;
    exchange.response.once('close', () => this.#onClientClose());
  }

  send(): void {
    const { request, head, headers, upstream, maxBodyBytes } = this.#exchange;
    this.#attempts += 1;
    upstream.dispatch(
      {
        method: head.method as Dispatcher.HttpMethod,
        path: `${head.target.path}${head.target.query}`,
        headers: headers as string[],
        body: head.hasBody ? (requestBody(request, maxBodyBytes) as never) : null,
        headersTimeout: upstream.config.timeout,
        bodyTimeout: upstream.config.idleTimeout,
      },
      this,
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#clientLeft) controller.abort(new Error('client left'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // RFC 9110 §15.2: interim responses need not be passed on.
    if (status < 200) return;
    this.#status = status;
    const { response, request, closesAfter } = this.#exchange;
    const headers = downstreamHeaders(asStrings(controller.rawHeaders));
    // What is left of an unread request body would be taken for the next request.
    if (!request.complete || closesAfter()) headers.push('Connection', 'close');
    response.writeHead(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { response } = this.#exchange;
    if (response.write(chunk)) return;
    controller.pause();
    response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#exchange.response.end();
    this.#resolve({ kind: 'answered', status: this.#status });
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    const { response, head } = this.#exchange;
    const isFresh = this.#attempts === 1 && !response.headersSent;
    const mayRetry = isFresh && !head.hasBody && retriable.has(head.method);
    if (!this.#clientLeft && mayRetry && closedByUpstream.has(codeOf(thrown))) {
      this.send();
      return;
    }
    if (response.headersSent) response.destroy();
    this.#resolve(this.#outcomeOf(thrown, response.headersSent));
  }

  #outcomeOf(thrown: Error, hasBegun: boolean): Forwarded {
    if (this.#clientLeft) return { kind: 'left' };
    const failure = failureOf(thrown);
    return hasBegun
      ? { kind: 'broken', failure, status: this.#status }
      : { kind: 'failed', failure };
  }

  #onClientClose(): void {
    if (this.#exchange.response.writableFinished) return;
    this.#clientLeft = true;
    this.#controller?.abort(new Error('client left'));
    this.#resolve({ kind: 'left' });
  }
}

const closedByUpstream: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** What undici and the dialer throw, as ours. What is not here means that the upstream broke off. */
const failures: Readonly<Record<string, ErrorCode>> = {
  ERR_DIAL_UNREACHABLE: 'ERR_UPSTREAM_UNREACHABLE',
  ERR_DIAL_ABORTED: 'ERR_UPSTREAM_UNREACHABLE',
  ERR_DIAL_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_HEADERS_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_BODY_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_CONNECT_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  ERR_GATEWAY_BODY_TOO_LARGE: 'ERR_GATEWAY_BODY_TOO_LARGE',
  ERR_SVID_NONE: 'ERR_INTERNAL',
  ERR_TLS_CONTEXT: 'ERR_INTERNAL',
  ERR_TLS_HANDSHAKE: 'ERR_UPSTREAM_BROKE',
  ERR_TLS_ABORTED: 'ERR_UPSTREAM_BROKE',
};

function failureOf(thrown: Error): Denial {
  const reason = codeOf(thrown);
  const known = failures[reason];
  // Whatever else the dialer refused, it refused who answered.
  const other = thrown instanceof CountersignError ? 'ERR_UPSTREAM_IDENTITY' : 'ERR_UPSTREAM_BROKE';
  const fields = thrown instanceof CountersignError ? thrown.fields : {};
  return denial(known ?? other, messageOf(thrown), { ...fields, reason });
}

function codeOf(thrown: Error & { readonly code?: unknown }): string {
  return typeof thrown.code === 'string' ? thrown.code : thrown.name;
}

function asStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
