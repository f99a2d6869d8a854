import { type Clock, type Denial, denial, type Log } from '@countersign/base';
import { describePeer, isAnonymous, type PeerOf } from '@countersign/mtls';
import type { SvidSource } from '@countersign/spiffe';
import type { ClientExchange } from './client/client-exchange.ts';
import { forward } from './forward.ts';
import { upstreamHeaders } from './forwarded-headers.ts';
import type { GatewayMetrics, RequestResult } from './gateway-metrics.ts';
import { answerProblem, statusOf } from './problem-response.ts';
import { answersOf, ask, type Facts } from './reask.ts';
import type { RequestHead } from './request-head.ts';
import { roleHeaders } from './role-headers.ts';
import { type Route, routeOf } from './routes.ts';
import { tellObserved } from './tell-observed.ts';

/** A connection that was refused in the handshake and waits to be told. */
export interface RefusedConnection {
  readonly refusal: Denial;
  /** Who was verified before it was refused; undefined for a stranger. */
  readonly peer: PeerOf | undefined;
}

export interface RequestSurroundings {
  readonly facts: Facts;
  /** In force now. */
  readonly routes: () => readonly Route[];
  readonly isStopping: () => boolean;
  readonly svids: SvidSource;
  readonly maxBodyBytes: number | undefined;
  readonly metrics: GatewayMetrics;
  /** Look-up ids of refusals. */
  readonly newId: () => string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The story of one request: peer, head, host, permit, route, headers, forward. Whatever refuses it is one answer with
 * a look-up id and one log line with the same id and the reason.
 */
export async function handleRequest(
  around: RequestSurroundings,
  client: ClientExchange,
): Promise<void> {
  const { request, response, head } = client;
  const startedAt = around.clock.monotonic();
  const finish = (result: RequestResult, status: number): void => {
    around.metrics.request(result, status, (around.clock.monotonic() - startedAt) / 1000);
  };
  const refuse = (refused: Denial, options: Refusing): void => {
    const id = around.newId();
    const status = statusOf(refused.code);
    const { peer } = options;
    const shown = peer === undefined ? { peer: 'stranger' } : describePeer(peer);
    const line = { id, status, code: refused.code, ...shown, ...refused.fields };
    around.log.warn(line, `request refused: ${refused.detail}`);
    const audience = peer === undefined || isAnonymous(peer) ? 'stranger' : 'caller';
    answerProblem(client, { ...refused, id, audience, close: options.close });
    finish(options.result, status);
  };

  // 1. Peer: the handshake said who this is, or refused it; the refused are told now.
  const session = client.from;
  if (session === undefined) return void response.destroy();
  if ('refusal' in session) {
    return refuse(session.refusal, { peer: session.peer, result: 'denied', close: true });
  }
  const { peer } = session;
  if (around.isStopping()) {
    const stopping = denial('ERR_GATEWAY_STOPPING', 'gateway is shutting down');
    return refuse(stopping, { peer, result: 'failed', close: true });
  }

  // 2. Head: one meaning for everybody, or none.
  if (!head.ok) return refuse(head, { peer, result: 'malformed', close: true });

  // 3. Host: the one that this connection was opened for (RFC 9110 §7.4).
  const { serverNames } = session.live.facts;
  if (serverNames.length > 0 && !serverNames.includes(head.host)) {
    const detail = `request for host "${head.host}" on a connection for "${serverNames.join('", "')}"`;
    const misdirected = denial('ERR_GATEWAY_MISDIRECTED', detail, { host: head.host, serverNames });
    return refuse(misdirected, { peer, result: 'malformed', close: head.hasBody });
  }

  // 4. Permit: the same question is asked again whenever a fact changes, until the response is over.
  const written = {
    ...{ method: head.method, path: head.target.path },
    ...{ host: head.authority, rawHeaders: request.rawHeaders },
  };
  const pending = answersOf(around.facts, session, written);
  let isGone = false;
  if (pending !== undefined) response.once('close', () => (isGone = true));
  const asked = pending === undefined ? written : { ...written, external: await pending };
  if (isGone) return finish('left', 0);
  const shown = { method: head.method, path: head.target.path };
  const permit = ask(around.facts, session, asked);
  tellObserved(around, session, asked);
  if (!permit.ok) return refuse(permit, { peer, result: 'denied', close: head.hasBody });

  // 5. Route.
  const tooLarge = wrongWithLength(head, around.maxBodyBytes);
  if (tooLarge !== undefined) return refuse(tooLarge, { peer, result: 'malformed', close: true });
  const route = routeOf(around.routes(), head.host, head.target.path);
  if (route === undefined) {
    const detail = `no route for host "${head.host}" and path "${head.target.path}"`;
    const unrouted = denial('ERR_GATEWAY_NO_ROUTE', detail, { ...shown, host: head.host });
    return refuse(unrouted, { peer, result: 'failed', close: head.hasBody });
  }

  // 6. Headers: nothing that the caller says of itself, all that the handshake proved.
  const { remoteAddress } = session.live.facts;
  const told = roleHeaders(around.facts.roles?.(), peer);
  const own = [
    ...['X-Forwarded-For', remoteAddress, 'X-Forwarded-Proto', 'https'],
    ...session.identityHeaders(around.svids.svid().spiffeId.toString()),
    ...told.headers,
  ];
  const headers = upstreamHeaders(request.rawHeaders, own, told.names);

  // 7. Forward, and be re-asked until it is over.
  session.inFlight.add(asked);
  const over = (): void => {
    if (session.inFlight.delete(asked) && around.isStopping()) session.retire();
  };
  response.once('close', over);
  if (head.hasBody) client.continueBody();
  const outcome = await forward(permit, {
    ...{ client, head, headers, upstream: route.upstream, maxBodyBytes: around.maxBodyBytes },
    closesAfter: () => around.isStopping() || session.nearsExpiry(around.clock.now()),
    retire: () => session.retire(),
  });
  // A tunnel is no response, and ends by itself.
  if (head.isWebSocket) over();

  // 8. Count and log what became of it.
  if (outcome.kind === 'failed') {
    return refuse(outcome.failure, { peer, result: 'failed', close: !request.complete });
  }
  finish(results[outcome.kind], outcome.kind === 'left' ? 0 : outcome.status);
  const line = { ...shown, ...describePeer(peer) };
  if (outcome.kind === 'broken') {
    const { code, detail, fields } = outcome.failure;
    around.log.warn({ ...line, code, ...fields }, `response broken off: ${detail}`);
  } else {
    around.log.debug({ ...line, ...outcome }, 'request over');
  }
}

const results = {
  answered: 'forwarded',
  tunnelled: 'forwarded',
  broken: 'failed',
  left: 'left',
} as const;

interface Refusing {
  readonly peer: PeerOf | undefined;
  readonly result: RequestResult;
  readonly close: boolean;
}

function wrongWithLength(head: RequestHead, maxBytes: number | undefined): Denial | undefined {
  if (maxBytes === undefined || (head.contentLength ?? 0) <= maxBytes) return undefined;
  const detail = `request body of ${head.contentLength} bytes, at most ${maxBytes} are let through`;
  return denial('ERR_GATEWAY_BODY_TOO_LARGE', detail, { announced: head.contentLength, maxBytes });
}
