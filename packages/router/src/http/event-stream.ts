import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { denial } from '@countersign/base';
import { onTokenEnd } from '../claims/token-end.ts';
import type { PartFormat } from '../defer/deliver-parts.ts';
import type { Asking } from '../router-engine.ts';
import { tellRefused, watchedStream } from '../telemetry/tell-operation.ts';
import { answerRefusal, type HandlingSurroundings, refusalBody } from './handle-graphql.ts';
import { type ReadRequest, wrong } from './read-request.ts';

/** A comment this often, so that nobody in between takes the connection for dead. */
const keepAliveMs = 12_000;

/**
 * Answers as GraphQL over SSE, distinct connections mode: a `next` for each answer, or part of one, then `complete`. The subgraph is read
 * at the pace of the caller.
 */
export async function streamEvents(
  around: HandlingSurroundings,
  request: IncomingMessage,
  response: ServerResponse,
  { operations, isBatch }: ReadRequest,
  asking: Asking,
  format: PartFormat | undefined,
): Promise<void> {
  const { config, subscriptions, clock, log } = around;
  const [parameters] = operations;
  const refuse = (refused: ReturnType<typeof wrong>) => {
    tellRefused(around, asking.caller, refused);
    answerRefusal(response, refused, 'application/json');
  };
  if (isBatch || parameters === undefined) return refuse(wrong(400, 'a batch cannot be streamed'));
  const found = around.operations.find(parameters);
  if (!found.ok) return refuse(found);
  const { operationName, variables } = parameters;
  const asked = { query: found.query, operationName, variables };
  const engine = around.engine();
  const prepared = await engine.preparer.prepare(asked.query, operationName, asking.caller);
  // GraphQL over HTTP §5.5: GET must not change anything.
  if (request.method === 'GET' && prepared.ok && prepared.kind === 'mutation') {
    return refuse(wrong(405, 'mutation by GET, POST is expected'));
  }
  if (!subscriptions.open(config.limits)) {
    const most = config.limits.max_subscriptions;
    const detail = `${most} subscriptions are open, no more are let through`;
    return refuse({ ...denial('ERR_GRAPHQL_LIMIT', detail), status: 503 });
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const beat = setInterval(() => response.write(':\n\n'), keepAliveMs);
  const caller = asking.caller.spiffeId;
  log.info({ operation: operationName, caller }, 'stream begins');
  const over = new AbortController();
  const cut = new AbortController();
  const signal = AbortSignal.any([asking.signal, cut.signal]);
  void onTokenEnd(asking.caller, clock, over.signal, (ended) => {
    log.info({ code: ended.code, operation: operationName, caller }, `stream cut: ${ended.detail}`);
    cut.abort(ended);
  });
  try {
    const bodies = watchedStream(around, { ...asking, signal }, 'sse', operationName, (watched) =>
      engine.stream(asked, watched, format),
    );
    for await (const body of bodies) {
      if (response.destroyed) return;
      if (signal.aborted) break;
      const isTaken = response.write(`event: next\ndata: ${JSON.stringify(body)}\n\n`);
      if (!isTaken) await once(response, 'drain', { signal }).catch(() => {});
    }
    if (cut.signal.aborted) {
      const last = JSON.stringify(refusalBody(cut.signal.reason));
      response.write(`event: next\ndata: ${last}\n\n`);
    }
    response.end('event: complete\ndata:\n\n');
  } finally {
    over.abort();
    clearInterval(beat);
    subscriptions.close();
  }
}
