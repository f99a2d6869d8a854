import type { JudgedTokens } from '@countersign/authz';
import { type Clock, type Denial, denial, type Log } from '@countersign/base';
import { describePeer, isAnonymous, type PeerOf } from '@countersign/mtls';
import {
  answerDirectly,
  type DirectAnswer,
  directAnswerOf,
  redirectToTls,
} from './answer-directly.ts';
import { callerHeaders } from './caller-headers.ts';
import type { ClientExchange } from './client/client-exchange.ts';
import { consult, refusalOf } from './external/consult.ts';
import { answerOf } from './external/written-changes.ts';
import { forward } from './forward.ts';
import { upstreamHeaders, withoutNominated } from './forwarded-headers.ts';
import type { GatewayMetrics, RequestResult } from './gateway-metrics.ts';
import { injectFault } from './inject-fault.ts';
import type { RequestLoad } from './load/request-load.ts';
import { longestRepeatedBody, mirrorRequest } from './mirror-request.ts';
import {
  type HeaderLine,
  operateOnHeaders,
  setHost,
  withLines,
} from './model/header-operations.ts';
import type { ForwardAction } from './model/route-model.ts';
import { type Route, type Routed, type RouteTable, targetOf } from './model/route-table.ts';
import { answerProblem, statusOf } from './problem-response.ts';
import type { RateLimits } from './rate-limits/rate-limits.ts';
import { ask, type Facts } from './reask.ts';
import { BodyRecord } from './request-body.ts';
import { placeOf } from './request-hash.ts';
import type { RequestHead } from './request-head.ts';
import { readRequestTarget } from './request-target.ts';
import { roleHeaders } from './role-headers.ts';
import type { Session } from './session.ts';
import { tellObserved } from './tell-observed.ts';
import type { Clusters } from './upstream/clusters.ts';

/** A connection that was refused in the handshake and waits to be told. */
export interface RefusedConnection {
  readonly refusal: Denial;
  /** Who was verified before it was refused; undefined for a stranger. */
  readonly peer: PeerOf | undefined;
}

export interface RequestSurroundings {
  readonly facts: Facts;
  /** In force now, by name. */
  readonly tables: () => ReadonlyMap<string, RouteTable>;
  readonly clusters: () => Clusters;
  readonly isStopping: () => boolean;
  readonly maxBodyBytes: number | undefined;
  readonly rateLimits: RateLimits;
  /** Whether there is room for one more. */
  readonly load: RequestLoad;
  readonly metrics: GatewayMetrics;
  /** Look-up ids of refusals. */
  readonly newId: () => string;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The story of one request: peer, head, host, tokens, permit, route, hold, headers, forward. Whatever refuses it is one answer with
 * a look-up id and one log line with the same id and the reason.
 */
export async function handleRequest(
  around: RequestSurroundings,
  client: ClientExchange,
): Promise<void> {
  const { request, response, head: received } = client;
  const startedAt = around.clock.monotonic();
  const finish = (result: RequestResult, status: number, why: object = {}): void => {
    const seconds = (around.clock.monotonic() - startedAt) / 1000;
    around.metrics.request(result, status, seconds);
    if (client.from !== undefined && 'logsAccess' in client.from && client.from.logsAccess) {
      around.log.info({ ...accessLine(client, status, seconds), ...why }, 'access');
    }
  };
  const refuse = (refused: Denial, options: Refusing): void => {
    const id = around.newId();
    const status = statusOf(refused.code);
    const { peer } = options;
    const shown = peer === undefined ? { peer: 'stranger' } : describePeer(peer);
    const line = { id, status, code: refused.code, ...shown, ...refused.fields };
    around.log.warn(line, `request refused: ${refused.detail}`);
    const audience = peer === undefined || isAnonymous(peer) ? 'stranger' : 'caller';
    const { answer } = options;
    const why = { id, code: refused.code, reason: refused.detail };
    if (answer !== undefined && received.ok && !received.isGrpc) {
      answerDirectly(client, received, answer, { close: options.close });
      return void finish(options.result, answer.status, why);
    }
    const headers = 'headers' in refused ? (refused.headers as readonly HeaderLine[]) : [];
    answerProblem(client, { ...refused, headers, id, audience, close: options.close });
    finish(options.result, status, why);
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
  const full = around.load.begin(session.live);
  if (full !== undefined) {
    const close = !received.ok || received.hasBody;
    return refuse(full, { peer, result: 'failed', close });
  }
  let isCounted = true;
  const leave = (): void => {
    if (isCounted) around.load.ended(session.live);
    isCounted = false;
  };
  response.once('close', leave);

  // 2. Head: one meaning for everybody, or none.
  if (!received.ok) return refuse(received, { peer, result: 'malformed', close: true });
  if (received.isWebSocket && session.refusesUpgrades) {
    const upgrade = denial('ERR_GATEWAY_NO_UPGRADE', 'listener takes no WebSockets');
    return refuse(upgrade, { peer, result: 'denied', close: true });
  }

  // 3. Host: the one that this connection was opened for (RFC 9110 §7.4).
  const { serverNames } = session.live.facts;
  if (serverNames.length > 0 && !serverNames.includes(received.host)) {
    const detail = `request for host "${received.host}" on a connection for "${serverNames.join('", "')}"`;
    const { host } = received;
    const misdirected = denial('ERR_GATEWAY_MISDIRECTED', detail, { host, serverNames });
    return refuse(misdirected, { peer, result: 'malformed', close: received.hasBody });
  }

  // 4. Tokens: whose it is beside its connection, where there are rules for that.
  let isGone = false;
  const sentOn = withoutNominated(request.rawHeaders);
  const looking = judgedTokens(around.facts, received, sentOn);
  if (looking !== undefined) response.once('close', () => (isGone = true));
  const tokens = looking === undefined ? undefined : await looking;
  if (isGone) return finish('left', 0);
  if (tokens?.ok === false) {
    return refuse(tokens, { peer, result: 'denied', close: received.hasBody });
  }
  const untold = tokens === undefined ? received : withQuery(received, tokens.query);

  // 5. Permit: the same question is asked again whenever a fact changes, until the response is over.
  const { method, authority: host } = untold;
  const carried = tokens?.rawHeaders ?? sentOn;
  const plain = { method, path: untold.target.path, host, rawHeaders: carried };
  const written = tokens?.claims === undefined ? plain : { ...plain, ...claimsOf(tokens) };
  const pending = consult(around.facts, session, { client, head: untold, written }, around.log);
  if (pending !== undefined) response.once('close', () => (isGone = true));
  const consulted = pending === undefined ? undefined : await pending;
  if (isGone || consulted === 'left') {
    response.destroy();
    return finish('left', 0);
  }
  if (consulted?.ok === false) return refuse(consulted, { peer, result: 'malformed', close: true });
  const head = consulted === undefined ? untold : withQuery(untold, consulted.query);
  const rawHeaders = consulted?.rawHeaders ?? carried;
  const asked =
    consulted === undefined ? written : { ...written, rawHeaders, external: consulted.external };
  const shown = { method: head.method, path: head.target.path };
  const permit = ask(around.facts, session, asked);
  tellObserved(around, session, asked);
  if (!permit.ok) {
    const told = consulted && refusalOf(consulted.external);
    const answer = told && answerOf(told.response, told.provider, around.log);
    return refuse(permit, { peer, result: 'denied', close: head.hasBody, answer });
  }

  // 6. Route: an upstream, or an answer of our own.
  const tooLarge = wrongWithLength(head, around.maxBodyBytes);
  if (tooLarge !== undefined) return refuse(tooLarge, { peer, result: 'malformed', close: true });
  const { facts: met } = session.live;
  const scheme = met.protocol === '' ? 'http' : 'https';
  const table = around.tables().get(session.table);
  const asking = { head, rawHeaders, scheme, port: met.localPort } as const;
  const barred = session.rbac?.({ request: asking, session });
  if (barred !== undefined) return refuse(barred, { peer, result: 'denied', close: head.hasBody });
  const routed = table?.find(asking);
  if (routed === undefined) {
    const detail = `no route for host "${head.host}" and path "${head.target.path}"`;
    const unrouted = denial('ERR_GATEWAY_NO_ROUTE', detail, { ...shown, host: head.host });
    return refuse(unrouted, { peer, result: 'failed', close: head.hasBody });
  }
  const isTls = routed.kind === 'tls';
  const limits = limitsOf(session, routed);
  const limited = around.rateLimits.ask(limits, { peer, address: met.remoteAddress, rawHeaders });
  if (!limited.ok) return refuse(limited, { peer, result: 'denied', close: head.hasBody });
  const cors = isTls ? undefined : routed.route.cors?.(head, rawHeaders);
  const answer = isTls
    ? redirectToTls(head)
    : (cors?.preflight ?? directAnswerOf(routed.route, head, scheme));
  if (answer !== undefined) {
    const close = (head.hasBody && !request.complete) || around.isStopping();
    const operations = isTls
      ? []
      : [...(routed.route.model.responseHeaders ?? []), ...(cors?.operations ?? [])];
    answerDirectly(client, head, answer, { operations, close });
    around.log.debug(
      { ...shown, ...describePeer(peer), status: answer.status },
      'request answered',
    );
    return finish('answered', answer.status);
  }

  // 7. Held: re-asked until it is over, a delay that the route makes included.
  const { route } = routed as Routed & { kind: 'route' };
  const action = route.model.action as ForwardAction;
  session.inFlight.add(asked);
  const over = (): void => {
    if (session.inFlight.delete(asked) && around.isStopping()) session.retire();
  };
  response.once('close', over);
  if (action.fault !== undefined) {
    const status = await injectFault(action.fault, client, head, around);
    if (status !== undefined) return finish(status === 0 ? 'left' : 'answered', status);
  }
  const target = targetOf(route, around.random);
  const cluster = around.clusters().get(target?.model.cluster ?? '');
  if (target === undefined || cluster === undefined) {
    const missing = denial('ERR_UPSTREAM_NO_ENDPOINT', `route "${route.model.name}" leads nowhere`);
    return refuse(missing, { peer, result: 'failed', close: head.hasBody });
  }

  // 8. Headers: nothing that the caller says of itself, all that the handshake proved, and what the route says.
  const { remoteAddress } = met;
  const told = roleHeaders(around.facts.roles?.(), peer);
  const own = [
    ...['X-Forwarded-For', remoteAddress, 'X-Forwarded-Proto', scheme],
    ...session.identityHeaders(rawHeaders),
    ...[...told.headers, ...callerHeaders(session.callerHeaders, peer)],
    ...(session.hops?.of(peer, cluster.model, around.clock.now()) ?? []),
  ];
  const headers = upstreamHeaders(rawHeaders, own, withheldNames(told.names, session.withheld));
  operateOnHeaders(headers, target.requestHeaders);
  if (target.host !== undefined) setHost(headers, target.host);
  const sent = rewrittenTarget(route, head);
  if (!sent.ok) return refuse(sent, { peer, result: 'malformed', close: head.hasBody });
  const path = sent.path + sent.query;

  const operations =
    cors === undefined ? target.responseHeaders : [...target.responseHeaders, ...cors.operations];
  const place = placeOf(action, cluster.model, {
    ...{ head, rawHeaders, sourceAddress: met.remoteAddress, newId: around.newId },
  });

  // 9. Forward, and send copies where the route asks for them.
  if (head.hasBody) client.continueBody();
  const isRepeated = action.retries !== undefined || action.mirrors !== undefined;
  const record = head.hasBody && isRepeated ? new BodyRecord(longestRepeatedBody) : undefined;
  const mirror = (): void => {
    for (const { cluster: name, percent } of action.mirrors ?? []) {
      const copies = around.clusters().get(name);
      if (copies === undefined || around.random() * 100 >= percent) continue;
      mirrorRequest(permit, copies, { head, path, headers, record, log: around.log });
    }
  };
  if (!head.hasBody && !head.isWebSocket) mirror();
  const outcome = await forward(permit, {
    client: consulted?.client ?? client,
    head,
    cluster,
    action,
    path,
    headers,
    record,
    hash: place.hash,
    responseHeaders: [
      ...(consulted?.responseHeaders ?? []),
      ...withLines(withLines(operations, limited.headers), place.cookies),
    ],
    maxBodyBytes: around.maxBodyBytes,
    clock: around.clock,
    random: around.random,
    closesAfter: () => around.isStopping() || session.nearsExpiry(around.clock.now()),
    retire: () => session.retire(),
  });
  if (head.hasBody) mirror();
  // A tunnel is no response, and ends by itself.
  if (head.isWebSocket) {
    over();
    leave();
  }

  // 10. Count and log what became of it.
  if (outcome.kind === 'failed') {
    return refuse(outcome.failure, { peer, result: 'failed', close: !request.complete });
  }
  finish(results[outcome.kind], outcome.kind === 'left' ? 0 : outcome.status);
  if (outcome.kind === 'broken') {
    const { code, detail, fields } = outcome.failure;
    const line = { ...shown, ...describePeer(peer), code, ...fields };
    around.log.warn(line, `response broken off: ${detail}`);
  } else if (!session.logsAccess) {
    around.log.debug({ ...shown, ...describePeer(peer), ...outcome }, 'request over');
  }
}

/** Mostly one of both is there. */
function withheldNames(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  if (a.size === 0) return b;
  return b.size === 0 ? a : a.union(b);
}

function judgedTokens(
  { tokens }: Facts,
  { method, target }: RequestHead,
  rawHeaders: readonly string[],
): Promise<JudgedTokens | Denial> | undefined {
  if (tokens === undefined || tokens.isIdle) return undefined;
  return tokens.judge({ method, rawHeaders, query: target.query });
}

function claimsOf({ claims, spaceDelimitedClaims }: JudgedTokens) {
  return { claims, spaceDelimitedClaims };
}

function withQuery(head: RequestHead, query: string): RequestHead {
  return head.target.query === query ? head : { ...head, target: { ...head.target, query } };
}

/** Those of the listener first. */
function limitsOf({ rateLimits }: Session, routed: NonNullable<Routed>) {
  const own = routed.kind === 'route' ? (routed.route.model.rateLimits ?? []) : [];
  return own.length === 0 ? rateLimits : [...rateLimits, ...own];
}

/** What is sent is read as strictly as what was asked for: a rewrite must not make another request of a permitted one. */
function rewrittenTarget({ model, rewrite }: Route, { target }: RequestHead & { ok: true }) {
  if (rewrite === undefined) return target;
  const read = readRequestTarget(rewrite(target.path) + target.query);
  return read.ok ? read : { ...read, detail: `${read.detail}, rewritten by route "${model.name}"` };
}

function accessLine({ from, head, protocol }: ClientExchange, status: number, seconds: number) {
  const asked = head.ok
    ? { method: head.method, host: head.authority, path: head.target.path }
    : { code: head.code };
  const peer = from !== undefined && 'live' in from ? describePeer(from.peer) : {};
  return { ...asked, protocol, status, ms: Math.round(seconds * 1e6) / 1000, ...peer };
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
  /** What the caller is told instead of our own words. */
  readonly answer?: DirectAnswer | undefined;
}

function wrongWithLength(head: RequestHead, maxBytes: number | undefined): Denial | undefined {
  if (maxBytes === undefined || (head.contentLength ?? 0) <= maxBytes) return undefined;
  const detail = `request body of ${head.contentLength} bytes, at most ${maxBytes} are let through`;
  return denial('ERR_GATEWAY_BODY_TOO_LARGE', detail, { announced: head.contentLength, maxBytes });
}
