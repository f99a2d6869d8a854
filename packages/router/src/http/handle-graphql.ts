import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Denial, Log } from '@countersign/base';
import type { RouterConfig } from '../config/router-config.ts';
import type { Caller } from '../operation/caller.ts';
import { giveUpAfter } from '../operation/time-limit.ts';
import type { Asking, GraphqlBody, GraphqlResult, RouterEngine } from '../router-engine.ts';
import type { RouterMetrics } from '../router-metrics.ts';
import type { Tracer } from '../telemetry/operation-watch.ts';
import { tellOperation, tellRefused, watchOperation } from '../telemetry/tell-operation.ts';
import type { IncomingFiles } from '../uploads/incoming-files.ts';
import { judgeCrossSite } from './cross-site.ts';
import { streamEvents } from './event-stream.ts';
import { acceptedTypes, type ResponseType } from './negotiate.ts';
import type { OpenSubscriptions } from './open-subscriptions.ts';
import type { OperationStore } from './operation-store.ts';
import {
  type OperationParameters,
  type RefusedRequest,
  readRequest,
  wrong,
} from './read-request.ts';
import { sendParts } from './send-parts.ts';

export interface HandlingSurroundings {
  readonly subscriptions: OpenSubscriptions;
  readonly config: RouterConfig;
  /** In force now. */
  readonly engine: () => RouterEngine;
  readonly operations: OperationStore;
  /** What subgraphs are told of the caller of this request, names and values alternating. */
  readonly identityFor: (caller: Caller) => Asking['identity'];
  readonly metrics: RouterMetrics;
  readonly tracer: Tracer | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The story of a request with operations: cross-site, read, operations, answer. What it was refused for is told to the
 * caller by a code, and counted.
 */
export async function handleGraphql(
  around: HandlingSurroundings,
  request: IncomingMessage,
  response: ServerResponse,
  caller: Caller,
): Promise<void> {
  const { config } = around;
  const refuse = (refusal: RefusedRequest, type: ResponseType = 'application/json') => {
    tellRefused(around, caller, refusal);
    answerRefusal(response, refusal, type);
  };
  // 1. what a foreign page may have sent is not looked at
  const crossSite = judgeCrossSite(request, config);
  if (crossSite !== undefined) return refuse(crossSite);
  // 2. what can be answered at all
  const accepted = acceptedTypes(request.headers.accept);
  const [best] = accepted;
  if (best === undefined) {
    const unacceptable = wrong(
      406,
      `accept "${request.headers.accept}" names nothing that is served`,
    );
    return refuse(unacceptable);
  }
  const json = accepted.find(({ type }) => type.startsWith('application/'));
  const type = json?.type ?? best.type;
  // 3. the parameters
  const read = await readRequest(request, config);
  if (!read.ok) return refuse(read, type);
  // 4. the operations, side by side
  const giveUp = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) giveUp.abort(new Error('caller left'));
  });
  const asking = {
    ...{ caller, headers: request.headers, signal: giveUp.signal },
    identity: around.identityFor(caller),
  };
  if (best.type === 'text/event-stream' && read.files !== undefined) {
    const detail = 'an operation with files is not streamed, application/json is expected';
    return refuse(wrong(406, detail));
  }
  if (best.type === 'text/event-stream')
    return await streamEvents(around, request, response, read, asking, best.parts);
  const overdue = giveUpAfter(config.limits.operation_timeout, giveUp, around.clock);
  try {
    const [first] = read.operations;
    if (read.files !== undefined && first !== undefined) {
      return await answerWithFiles(around, request, response, first, asking, read.files);
    }
    if (!read.isBatch && first !== undefined) {
      const multipart = accepted.find((each) => each.type === 'multipart/mixed');
      const isSent =
        multipart?.parts !== undefined &&
        (await sendParts(around, request, response, first, asking, multipart.parts));
      if (isSent) return;
      const outcome = await runOperation(around, request, first, asking);
      return answer(around, response, outcome, type);
    }
    const outcomes = await Promise.all(
      read.operations.map((each) => runOperation(around, request, each, asking)),
    );
    const bodies = outcomes.map(bodyOf);
    write(response, 200, jsonType(type), JSON.stringify(bodies));
  } finally {
    overdue();
  }
}

type Outcome = GraphqlResult | RefusedRequest;

/** The files are read to their end before the answer: only then is it known that the request is one. */
async function answerWithFiles(
  around: HandlingSurroundings,
  request: IncomingMessage,
  response: ServerResponse,
  parameters: OperationParameters,
  asking: Asking,
  files: IncomingFiles,
): Promise<void> {
  const outcome = await runOperation(around, request, parameters, asking, files);
  const isRefused = 'status' in outcome || outcome.refusal !== undefined;
  const wrongWith = isRefused ? files.refusal : await files.settle(asking.signal);
  // What is left of an unread body would be taken for the next request.
  if (!files.isOver) response.setHeader('connection', 'close');
  files.abandon();
  if (wrongWith !== undefined) tellRefused(around, asking.caller, wrongWith);
  answer(around, response, wrongWith ?? outcome, 'application/json');
}

/** One operation: its document, whether its method may carry it, its execution, its line in the log. */
async function runOperation(
  around: HandlingSurroundings,
  request: IncomingMessage,
  parameters: OperationParameters,
  asking: Asking,
  files?: IncomingFiles,
): Promise<Outcome> {
  const found = around.operations.find(parameters);
  if (!found.ok) {
    tellRefused(around, asking.caller, found);
    return found;
  }
  const watch = watchOperation(around, asking, 'http');
  const { operationName, variables } = parameters;
  const asked = { query: found.query, operationName, variables, files };
  const engine = around.engine();
  if (request.method === 'GET') {
    const prepared = await engine.preparer.prepare(asked.query, operationName, asking.caller);
    // GraphQL over HTTP §5.5: GET must not change anything.
    if (prepared.ok && prepared.kind === 'mutation') {
      const refusal = wrong(405, 'mutation by GET, POST is expected');
      tellOperation(around, asking, { watch, prepared, operationName, refusal, errors: 1 });
      return refusal;
    }
  }
  const result = await engine.execute(asked, { ...asking, watch });
  const { prepared, refusal, body } = result;
  const errors = body.errors?.length ?? 0;
  tellOperation(around, asking, { watch, prepared, operationName, refusal, errors });
  return result;
}

function answer(
  { config }: HandlingSurroundings,
  response: ServerResponse,
  outcome: Outcome,
  type: ResponseType,
): void {
  if ('status' in outcome) {
    answerRefusal(response, outcome, type);
    return;
  }
  const text = JSON.stringify(outcome.body);
  if (text.length > config.limits.max_response_bytes) {
    answerRefusal(response, tooLarge(config.limits.max_response_bytes), type);
    return;
  }
  write(response, statusOf(outcome, type), jsonType(type), text);
}

/**
 * GraphQL over HTTP §6.4: of `application/json` a well-formed request is 200, whatever became of it; the newer type tells
 * a request that never ran by its status.
 */
function statusOf({ refusal }: GraphqlResult, type: ResponseType): number {
  if (refusal === undefined) return 200;
  if (refusal.code === 'ERR_GRAPHQL_DENIED') return type === 'application/json' ? 200 : 403;
  return type === 'application/json' && refusal.code !== 'ERR_GRAPHQL_LIMIT' ? 200 : 400;
}

function bodyOf(outcome: Outcome): object {
  return 'status' in outcome ? refusalBody(outcome) : outcome.body;
}

export function refusalBody({ code, detail, fields }: Denial): GraphqlBody {
  // A protocol's own word, where its clients look for one.
  const told = String(fields.word ?? code);
  return { errors: [{ message: detail, extensions: { code: told } }] };
}

export function answerRefusal(
  response: ServerResponse,
  refused: RefusedRequest,
  type: ResponseType,
): void {
  const { status } = refused;
  if (status === 405) response.setHeader('allow', 'GET, POST');
  // What is left of an unread body would be taken for the next request.
  if (status === 413) response.setHeader('connection', 'close');
  write(response, status, jsonType(type), JSON.stringify(refusalBody(refused)));
}

function write(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}

function jsonType(type: ResponseType): string {
  return type === 'application/graphql-response+json' ? type : 'application/json';
}

export function tooLarge(limit: number): RefusedRequest {
  const detail = `answer of more than ${limit} bytes`;
  return { ok: false, code: 'ERR_GRAPHQL_LIMIT', detail, fields: { limit }, status: 500 };
}
