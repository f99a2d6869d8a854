import { Permit } from '@countersign/authz';
import { type Clock, CountersignError, type Denial, denial } from '@countersign/base';
import type { Dispatcher } from 'undici';
import type { ClientExchange } from './client/client-exchange.ts';
import { failureOf, isClosedByUpstream } from './forward-failure.ts';
import { downstreamHeaders, downstreamTrailers } from './forwarded-headers.ts';
import { judgedStatus, startDeadline } from './grpc.ts';
import { type HeaderOperations, operateOnHeaders, setHost } from './model/header-operations.ts';
import type { ForwardAction } from './model/route-model.ts';
import { type BodyRecord, requestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import { backoffMs, isOurOwn, isRetriedAfter, isRetriedWithout } from './retry-conditions.ts';
import { type Spliced, splice } from './splice.ts';
import type { Cluster } from './upstream/cluster.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { UpstreamController, UpstreamHandler } from './upstream/upstream-request.ts';
import { newWebSocketKey, wrongWithAccept } from './websocket-handshake.ts';

/** One permitted request on its way. */
export interface Exchange {
  readonly client: ClientExchange;
  readonly head: RequestHead;
  readonly cluster: Cluster;
  /** Time-outs, retries, and what else the route says of how it is sent. */
  readonly action: ForwardAction;
  /** Path and query for the upstream. */
  readonly path: string;
  /** For the upstream, names and values alternating. */
  readonly headers: string[];
  /** Which endpoint takes it, where the cluster goes by that. */
  readonly hash: bigint | undefined;
  /** What is done to those of the response. */
  readonly responseHeaders: readonly HeaderOperations[];
  readonly maxBodyBytes: number | undefined;
  /** Where the body may have to be sent again. */
  readonly record: BodyRecord | undefined;
  /** Whether the client's connection ends with this response; asked when the response begins. */
  readonly closesAfter: () => boolean;
  /** Ends a connection that carries other requests as well, once these are over. */
  readonly retire: () => void;
  readonly clock: Clock;
  readonly random: () => number;
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
 * its pooled connection turns out to be closed (RFC 9110 §9.2.2); beyond that a request is sent again only as its route
 * says, within the cluster's budget, and never once a part of a response was passed on.
 */
export function forward(permit: Permit, exchange: Exchange): Promise<Forwarded> {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'request') {
    throw new TypeError('forward takes a permit for a request');
  }
  const { cluster } = exchange;
  if (!cluster.admission.begin()) {
    const { name, limits } = cluster.model;
    const detail = `${limits.maxRequests} requests to "${name}" are under way, no more are let through`;
    const failure = denial('ERR_UPSTREAM_OVERLOADED', detail, { cluster: name });
    return Promise.resolve({ kind: 'failed', failure });
  }
  return new Promise((resolve) => new Forwarding(exchange, resolve).send());
}

const retriable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

class Forwarding implements UpstreamHandler {
  readonly #exchange: Exchange;
  readonly #resolve: (outcome: Forwarded) => void;
  readonly #key: string | undefined;
  #endDeadline: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #tryTimer: NodeJS.Timeout | undefined;
  #controller: UpstreamController | undefined;
  #upstream: Upstream | undefined;
  /** Why it was given up, perhaps before the upstream had taken it up. */
  #reason: Error | undefined;
  /** The same of this attempt alone. */
  #tryReason: Error | undefined;
  #attempts = 0;
  #retries = 0;
  #tried: Set<Upstream> | undefined;
  /** Attempts that were given up for another: what is told of them is of no interest any more. */
  #abandoned: Set<UpstreamController> | undefined;
  #clientLeft = false;
  #isTunnel = false;
  #isOver = false;
  #isWhole = false;
  #status = 0;

  constructor(exchange: Exchange, resolve: (outcome: Forwarded) => void) {
    const { client, head, action } = exchange;
    this.#exchange = exchange;
    this.#resolve = resolve;
    this.#key = head.isWebSocket ? newWebSocketKey() : undefined;
    client.response.once('close', () => this.#onClientClose());
    if (!head.hasBody && action.timeoutMs) this.#startTimeout(action.timeoutMs);
    if (!head.isGrpc) return;
    this.#endDeadline = startDeadline(client.request.rawHeaders, (late) => this.#abort(late));
  }

  send(): void {
    const { pending } = this.#exchange.cluster;
    if (pending === undefined) this.#send();
    else void pending.then(() => this.#send());
  }

  #send(): void {
    if (this.#reason !== undefined) return void this.#over(this.#outcomeOf(this.#reason, false));
    const { client, head, action, cluster, path, headers, maxBodyBytes, record } = this.#exchange;
    const upstream = cluster.pick({ tried: this.#tried, hash: this.#exchange.hash });
    if (upstream === undefined) {
      const { name } = cluster.model;
      const failure = denial('ERR_UPSTREAM_NO_ENDPOINT', `cluster "${name}" has no endpoint`, {});
      return void this.#over({ kind: 'failed', failure });
    }
    this.#attempts += 1;
    this.#upstream = upstream;
    upstream.inFlight += 1;
    this.#startTry();
    if (action.rewrite?.hostOfEndpoint === true) {
      setHost(headers, upstream.endpoint.name ?? upstream.endpoint.host);
    }
    const { timeoutMs = 0, headersTimeoutMs, idleTimeoutMs } = action;
    const { isGrpc, takesTrailers } = head;
    const onEnd = timeoutMs > 0 ? () => this.#startTimeout(timeoutMs) : undefined;
    const asked = {
      method: head.method as Dispatcher.HttpMethod,
      path,
      headers,
      body: head.hasBody
        ? requestBody(client.request, { maxBytes: maxBodyBytes, record, onEnd })
        : null,
      headersTimeout: headersTimeoutMs ?? cluster.model.headersTimeoutMs,
      bodyTimeout: idleTimeoutMs ?? cluster.model.idleTimeoutMs,
      isGrpc,
      takesTrailers,
    };
    if (this.#key === undefined) return void upstream.dispatch(asked, this);
    const withKey = [...headers, 'Sec-WebSocket-Key', this.#key];
    upstream.dispatch({ ...asked, headers: withKey, upgrade: 'websocket' }, this);
  }

  onRequestStart(controller: UpstreamController): void {
    this.#controller = controller;
    const reason = this.#reason ?? this.#tryReason;
    if (reason !== undefined) controller.abort(reason);
  }

  onRequestUpgrade(
    controller: UpstreamController,
    status: number,
    _headers: unknown,
    upstream: Parameters<typeof splice>[1],
  ): void {
    const { client, action, cluster, clock } = this.#exchange;
    const raw = asStrings(controller.rawHeaders);
    const wrong =
      status === 101 && this.#key !== undefined ? wrongWithAccept(raw, this.#key) : undefined;
    if (this.#clientLeft || wrong !== undefined || client.openTunnel === undefined) {
      upstream.destroy();
      const failure = wrong ?? denial('ERR_UPSTREAM_BROKE', 'switched protocols unasked');
      return void this.#over(this.#clientLeft ? { kind: 'left' } : { kind: 'failed', failure });
    }
    this.#isTunnel = true;
    this.#endTimers();
    const opened = client.openTunnel(this.#headersOf(raw, isOfHandshake));
    const idleMs = action.idleTimeoutMs ?? cluster.model.idleTimeoutMs;
    void splice(opened, upstream, { idleMs, clock }).then((spliced) => {
      this.#over({ kind: 'tunnelled', status, ...spliced });
    });
  }

  onResponseStart(controller: UpstreamController, status: number): void {
    // RFC 9110 §15.2: interim responses need not be passed on.
    if (status < 200 || this.#abandoned?.has(controller)) return;
    const { client, action, cluster, head, closesAfter, retire } = this.#exchange;
    const raw = asStrings(controller.rawHeaders);
    if (this.#upstream !== undefined) {
      cluster.report(this.#upstream, judgedStatus(status, raw, head.isGrpc));
    }
    const { retries } = action;
    if (retries !== undefined && isRetriedAfter(retries, status, raw) && this.#retry()) {
      this.#abandoned ??= new Set();
      this.#abandoned.add(controller);
      controller.abort(new Error('sent again'));
      return;
    }
    this.#endTry();
    this.#status = status;
    const { request, response, protocol } = client;
    const headers = this.#headersOf(raw);
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
    if (this.#abandoned?.has(controller)) return;
    const { response } = this.#exchange.client;
    if (response.write(chunk)) return;
    controller.pause();
    response.once('drain', () => controller.resume());
  }

  onResponseEnd(controller: UpstreamController): void {
    if (this.#abandoned?.has(controller)) return;
    const { client, head } = this.#exchange;
    if (!this.#isWhole) {
      const trailers = head.takesTrailers ? asStrings(controller.rawTrailers) : [];
      if (trailers.length > 0) client.response.addTrailers(downstreamTrailers(trailers));
      client.response.end();
    }
    this.#over({ kind: 'answered', status: this.#status });
  }

  onResponseError(controller: UpstreamController | undefined, thrown: Error): void {
    if (controller !== undefined && this.#abandoned?.has(controller)) return;
    const { response } = this.#exchange.client;
    const mayAgain = !response.headersSent && this.#reason === undefined;
    if (mayAgain && this.#wasStale(thrown)) {
      this.#letGo();
      this.#send();
      return;
    }
    this.#report(thrown);
    const { retries } = this.#exchange.action;
    const wasSent = this.#controller !== undefined;
    if (
      mayAgain &&
      retries !== undefined &&
      isRetriedWithout(retries, thrown, wasSent) &&
      this.#retry()
    ) {
      return;
    }
    const outcome = this.#outcomeOf(thrown, response.headersSent);
    if (response.headersSent && !response.writableFinished) this.#breakOff(outcome);
    this.#over(outcome);
  }

  /** An attempt without an answer, or without the end of one, where that says something of the endpoint. */
  #report(thrown: Error): void {
    const upstream = this.#upstream;
    if (upstream === undefined || this.#clientLeft || isOurOwn(thrown)) return;
    const isLate = failureOf(thrown).code === 'ERR_UPSTREAM_TIMEOUT';
    this.#exchange.cluster.report(
      upstream,
      isLate ? 'late' : 'failed',
      this.#controller !== undefined,
    );
  }

  /** Whether a pooled connection turned out to be closed, for a request that may be sent once more. */
  #wasStale(thrown: Error): boolean {
    const { head } = this.#exchange;
    const isSafe = !head.hasBody && retriable.has(head.method) && !head.isWebSocket;
    return this.#attempts === 1 && isSafe && isClosedByUpstream(thrown);
  }

  /** Whether there is another attempt: by the route, the budget, and whether the body is still to be had. */
  #retry(): boolean {
    const { head, action, cluster, record, clock, random } = this.#exchange;
    const { retries } = action;
    if (retries === undefined || this.#retries >= retries.attempts || head.isWebSocket)
      return false;
    if (head.hasBody && record?.isRepeatable !== true) return false;
    // One retry at a time of each request counts, from its first to the end of the exchange.
    if (this.#retries === 0 && !cluster.admission.beginRetry()) return false;
    this.#retries += 1;
    if (retries.avoidsTried && this.#upstream !== undefined) {
      this.#tried ??= new Set();
      this.#tried.add(this.#upstream);
    }
    this.#letGo();
    this.#endTry();
    const ms = backoffMs(retries, this.#retries, random);
    void clock.sleep(ms).then(() => this.#send());
    return true;
  }

  #startTry(): void {
    const ms = this.#exchange.action.retries?.perTryTimeoutMs ?? 0;
    this.#tryReason = undefined;
    if (ms === 0) return;
    this.#tryTimer = setTimeout(() => {
      const detail = `no head of the response within ${ms} ms of an attempt`;
      this.#tryReason = new CountersignError('ERR_UPSTREAM_TIMEOUT', detail);
      this.#controller?.abort(this.#tryReason);
    }, ms);
  }

  #endTry(): void {
    clearTimeout(this.#tryTimer);
    this.#tryTimer = undefined;
  }

  #startTimeout(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#abort(
        new CountersignError('ERR_UPSTREAM_TIMEOUT', `no whole response within ${ms} ms`),
      );
    }, ms);
  }

  #endTimers(): void {
    clearTimeout(this.#timer);
    this.#endTry();
  }

  /** Once: a client may leave after all is over. */
  #leaveCluster(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { cluster } = this.#exchange;
    cluster.admission.ended();
    if (this.#retries > 0) cluster.admission.retryEnded();
  }

  /** The attempt of now is over. */
  #letGo(): void {
    if (this.#upstream !== undefined) this.#upstream.inFlight -= 1;
    this.#upstream = undefined;
    this.#controller = undefined;
  }

  #headersOf(raw: readonly string[], without?: ReadonlySet<string>): string[] {
    const headers = downstreamHeaders(raw, without);
    operateOnHeaders(headers, this.#exchange.responseHeaders);
    return headers;
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
    this.#endTimers();
    this.#letGo();
    this.#leaveCluster();
    this.#resolve(outcome);
  }
}

const isOfHandshake = new Set(['sec-websocket-accept']);

function asStrings(raw: UpstreamController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
