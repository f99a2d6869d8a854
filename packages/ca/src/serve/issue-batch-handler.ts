import { CountersignError, type Denial, denial } from '@countersign/base';
import {
  type BatchIssued,
  type BatchOrder,
  type BatchRefused,
  formatBatchResponse,
  parseBatchRequest,
  parseJsonBody,
  problemCauseOf,
  problemFrom,
} from '@countersign/wire';
import type { Issued, Refusal } from '../issue.ts';
import { type ApiAnswer, type ApiCall, nameOf } from './api-call.ts';
import type { ApiContext } from './api-context.ts';
import { audienceOf } from './audience.ts';

/**
 * As many are under way at once: their intents share a commit, and so do their certificates. What others ask meanwhile
 * waits for the cryptography of so many at most.
 */
const abreast = 128;

/** `POST /v1/issue/batch`: each order goes the way of a single call, side by side, and is answered by itself. */
export async function answerIssueBatch(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
  const { orders } = parseBatchRequest(
    parseJsonBody(call.body, `${call.route.name} request`, call.route.maxBodyBytes),
  );
  const { caller, left } = call;
  const answer = () => answerOrders(context, call, orders);
  // Whoever holds the state is its own judge of what is urgent.
  if (caller.kind === 'operator') return await answer();
  const key = caller.kind === 'peer' ? `batch ${caller.peer.serialHex}` : undefined;
  return await context.queue.serve({ key, count: orders.length, left }, answer);
}

async function answerOrders(
  context: ApiContext,
  call: ApiCall,
  orders: readonly BatchOrder[],
): Promise<ApiAnswer> {
  const { authority } = context;
  const settled: PromiseSettledResult<Issued | Refusal>[] = [];
  for (let from = 0; from < orders.length; from += abreast) {
    const some = orders.slice(from, from + abreast);
    settled.push(
      ...(await Promise.allSettled(some.map((order) => answerOrder(context, call, order)))),
    );
  }
  // Where nothing was decided at all, the call has failed: its caller tries again, or elsewhere.
  const [first] = settled;
  if (first?.status === 'rejected' && settled.every(({ status }) => status === 'rejected')) {
    throw first.reason;
  }
  const results = settled.map((each, index) => resultOf(context, call, each, index));
  const { bundle, trustDomain } = authority.issueResponseParts();
  return { ok: true, body: formatBatchResponse({ results, bundle, trustDomain }) };
}

async function answerOrder(
  { authority }: ApiContext,
  { caller, route }: ApiCall,
  { own, ...order }: BatchOrder,
): Promise<Issued | Refusal> {
  if (caller.kind === 'peer') {
    const { peer } = caller;
    return own ? authority.renew({ ...order, peer }) : authority.order({ ...order, peer });
  }
  if (!own) return authority.issue(order);
  const detail = `"${route.path}" is asked for the caller's own names, and it showed no certificate`;
  return denial('ERR_API_CERTIFICATE_NEEDED', detail);
}

function resultOf(
  context: ApiContext,
  { id, caller, route }: ApiCall,
  settled: PromiseSettledResult<Issued | Refusal>,
  index: number,
): BatchIssued | BatchRefused {
  if (settled.status === 'fulfilled' && settled.value.ok) return issuedOf(settled.value);
  const cause = settled.status === 'fulfilled' ? (settled.value as Denial) : settled.reason;
  const refused = cause instanceof Error ? problemCauseOf(cause) : (cause as Denial);
  const line = { id, order: index, code: refused.code, caller: nameOf(caller) };
  if (!(cause instanceof Error)) context.log.warn(line, `order refused: ${refused.detail}`);
  else {
    const isKnown = cause instanceof CountersignError;
    context.log.error(
      { ...line, ...(!isKnown && { err: cause }) },
      `order failed: ${refused.detail}`,
    );
  }
  const audience = audienceOf(context, caller, route);
  const { code = refused.code, detail } = problemFrom(refused, { id, audience });
  return { ok: false, id, code, ...(detail === undefined ? {} : { detail }) };
}

function issuedOf({ spiffeId, serialHex, notAfter, chain }: Issued): BatchIssued {
  return {
    ok: true,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    serial: serialHex,
    notAfter,
    chain,
  };
}
