import type { IncomingMessage, ServerResponse } from 'node:http';
import { denial } from '@countersign/base';
import { findRoute, type Route, type RouteName, routes } from '@countersign/wire';
import { whileAskedBy } from '../ledger/asked.ts';
import { randomOctets } from '../ledger/random-octets.ts';
import { type ApiAnswer, type Caller, nameOf } from './api-call.ts';
import type { ApiContext } from './api-context.ts';
import { audienceOf } from './audience.ts';
import { authorizeCaller } from './authorize-caller.ts';
import { leaving } from './leaving.ts';
import { answerProblem } from './problem-answer.ts';
import { readBody } from './read-body.ts';
import { handlers } from './route-handlers.ts';

/** One request from its head to its answer. Never rejects: whatever goes wrong is answered as a problem, or hung up. */
export async function answerRequest(
  context: ApiContext,
  caller: Caller,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { clock, log } = context;
  response.once('close', function hangUpWhenClosing() {
    if (context.closing()) request.socket.end();
  });
  const startedAt = clock.monotonic();
  const id = Buffer.from(randomOctets(9)).toString('base64url');
  const { path, query } = targetOf(request);
  const found = findRoute(request.method ?? '', path);
  const route = 'route' in found ? found.route : undefined;

  const who = { by: nameOf(caller), from: request.socket.remoteAddress };
  let answer: ApiAnswer | { readonly ok: false; readonly thrown: unknown };
  try {
    answer =
      route === undefined
        ? denial('ERR_WIRE_ROUTE', `no ${request.method} "${path.slice(0, 200)}"`)
        : await whileAskedBy(who, () =>
            answerOf(context, { route, caller, path, query, id, left: leaving(response) }, request),
          );
  } catch (thrown) {
    // Its own end, by the client: nobody is there to be answered, and nothing of ours failed.
    if (thrown === request.errored) {
      log.debug({ id, caller: nameOf(caller), route: route?.name }, 'client left amid its request');
      context.requests.add(1, { route: route?.name ?? 'none', result: 'left' });
      return;
    }
    answer = { ok: false, thrown };
  }

  if ('refused' in found && found.refused === 'method') response.setHeader('allow', found.allow);
  // An unread body would be taken for the next request.
  if (context.closing() || !request.complete) response.setHeader('connection', 'close');
  let result = 'ok';
  if (answer.ok && 'stream' in answer) answer = await streamed(answer, response);
  else if (answer.ok) send(response, route ?? routes.status, answer.body);
  if (!answer.ok) {
    const asked = `${request.method} ${route?.path ?? 'unknown path'}`;
    const isProved = 'proved' in answer && answer.proved === true;
    const audience = isProved ? 'requester' : audienceOf(context, caller, route);
    const cause = 'thrown' in answer ? answer.thrown : answer;
    result = answerProblem(response, { cause, caller, audience, id, asked }, log);
    // What the flows behind the routes refuse, they note themselves.
    const isDecided = result.startsWith('ERR_API_') && result !== 'ERR_API_BUSY';
    if (route !== undefined && isDecided && 'detail' in answer) {
      const refusal = { asked: route.name, code: result, detail: answer.detail };
      whileAskedBy(who, () => context.authority.ledger.noteRefusal(refusal));
    }
  }

  context.requests.add(1, { route: route?.name ?? 'none', result });
  if (route === undefined || route.name === 'feed') return;
  const seconds = (clock.monotonic() - startedAt) / 1000;
  context.requestSeconds.observe(seconds, { route: route.name });
}

async function answerOf(
  context: ApiContext,
  asked: {
    readonly route: Route;
    readonly caller: Caller;
    readonly path: string;
    readonly query: URLSearchParams;
    readonly id: string;
    readonly left: () => AbortSignal;
  },
  request: IncomingMessage,
): Promise<ApiAnswer> {
  const { route, caller } = asked;
  const { ledger } = context.authority;
  // 1. may this caller ask this route
  const allowed = await authorizeCaller(route, caller, { ledger, now: context.clock.now() });
  if (!allowed.ok) return allowed;
  // 2. the whole body, within limits
  const body = await readBody(request, route);
  // 3. the answer
  return handlers[route.name as RouteName](context, { ...asked, body });
}

/** What breaks before the head is sent can still be told; later, hanging up is all that is left. */
async function streamed(
  answer: ApiAnswer & { readonly stream: (response: ServerResponse) => Promise<void> },
  response: ServerResponse,
): Promise<typeof answer | { readonly ok: false; readonly thrown: unknown }> {
  try {
    await answer.stream(response);
    return answer;
  } catch (thrown) {
    return { ok: false, thrown };
  }
}

function send(response: ServerResponse, route: Route, body: string): void {
  const length = Buffer.byteLength(body);
  response.writeHead(200, {
    'content-type': route.answer,
    'cache-control': 'no-store',
    'content-length': length,
  });
  // Head and body are one write; where each character is an octet, none of them need be looked at.
  response.end(body, length === body.length ? 'latin1' : 'utf8');
}

/** Our targets are plain paths: nothing is decoded or resolved, so there is one spelling of each. */
function targetOf(request: IncomingMessage): { path: string; query: URLSearchParams } {
  const { url = '' } = request;
  const mark = url.indexOf('?');
  if (mark < 0) return { path: url, query: noQuery };
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}

/** Nobody writes to it. */
const noQuery = new URLSearchParams();
