import type { Execution } from './execute/execute-plan.ts';
import type { Variables } from './execute/project-data.ts';
import type { SubgraphAnswer } from './execute/response-error.ts';
import { missingAnswer, readAnswer } from './execute/subgraph-answer.ts';
import { callerKey } from './operation/caller.ts';
import type { SubgraphOperation } from './plan/plan.ts';
import type { Asking, EngineParts } from './router-engine.ts';
import { AnswerCache } from './subgraph/answer-cache.ts';
import { failureOf, type SubgraphFailure } from './subgraph/failure.ts';
import { InFlight } from './subgraph/in-flight.ts';
import { redactAnswer } from './subgraph/redact-answer.ts';
import type { Subgraph } from './subgraph/subgraph.ts';
import type { SubgraphOutcome } from './subgraph/subgraph-client.ts';
import { subgraphHeaders } from './subgraph/subgraph-headers.ts';
import { type ForwardedFiles, multipartBody } from './uploads/forward-files.ts';

/** The fetches of plans: who is told what, whose answers are shared or kept, and what a missing one is. */
export class SubgraphAsker {
  readonly #parts: EngineParts;
  readonly #inFlight = new InFlight<SubgraphOutcome>();
  readonly #cache: AnswerCache | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { max_bytes: bytes } = parts.config.cache;
    this.#cache = bytes === 0 ? undefined : new AnswerCache(bytes, parts.clock);
  }

  /** What the plan of one operation runs with. */
  execution(variables: Variables, asking: Asking, forwarded?: ForwardedFiles): Execution {
    const toldBySubgraph = new Map<string, Told>();
    const key = callerKey(asking.caller);
    const { types } = this.#parts.supergraph;
    return {
      ...{ data: {}, errors: [], variables, types },
      ask: (operation, body) =>
        this.#ask(operation, body, { ...asking, key, toldBySubgraph, forwarded }),
    };
  }

  clientOf(subgraph: string): Subgraph {
    const client = this.#parts.clients.get(subgraph);
    if (client === undefined) throw new TypeError(`subgraph "${subgraph}" of a plan`);
    return client;
  }

  async #ask(
    operation: SubgraphOperation,
    body: string,
    asking: Asking & {
      readonly key: string;
      readonly toldBySubgraph: Map<string, Told>;
      readonly forwarded: ForwardedFiles | undefined;
    },
  ): Promise<SubgraphAnswer> {
    const { subgraph, operationKind } = operation;
    const client = this.clientOf(subgraph);
    let told = asking.toldBySubgraph.get(subgraph);
    if (told === undefined) {
      const rules = subgraphHeaders(client.settings, asking.headers);
      const headers = [...rules, ...asking.identity(subgraph)];
      told = { headers, key: `${subgraph}\n${asking.key}\n${rules.join('\n')}\n` };
      asking.toldBySubgraph.set(subgraph, told);
    }
    const { signal } = asking;
    const watched = asking.watch?.fetch(client, operationKind);
    const traced = watched?.headers ?? [];
    const headers = traced.length === 0 ? told.headers : [...told.headers, ...traced];
    const stream =
      asking.forwarded?.operation === operation ? multipartBody(asking.forwarded, body) : undefined;
    const isRepeatable = operationKind === 'query' && stream === undefined;
    let partly: string | undefined;
    const report = (failure: SubgraphFailure) => {
      partly = failure.reason;
      return this.report(subgraph, failure, asking);
    };
    const request = { body, headers, isRepeatable, report, stream };
    // Shared among callers of one identity whose headers say the same: nobody gets what another may see.
    const key = told.key + body;
    const kept = isRepeatable ? this.#cache?.get(key) : undefined;
    const known = kept === undefined ? undefined : readAnswer(kept);
    if (known !== undefined) {
      watched?.end('cached');
      return this.told(subgraph, known, asking);
    }
    const send = (signal: AbortSignal) => client.send({ ...request, signal });
    const shares = isRepeatable && this.#parts.config.deduplicate;
    const shared = (): Promise<SubgraphOutcome> =>
      this.#inFlight
        .share(key, signal, send)
        .catch((thrown) => ({ ok: false, failure: failureOf(thrown) }));
    const outcome = await (shares ? shared() : send(signal));
    const answer = outcome.ok ? readAnswer(outcome.response.text) : undefined;
    const unread = answer === undefined ? 'response' : undefined;
    watched?.end(outcome.ok ? (partly ?? unread ?? 'ok') : outcome.failure.reason);
    if (!outcome.ok) return this.missing(operation, outcome.failure, asking);
    if (answer === undefined) {
      return this.missing(operation, notGraphql(outcome.response), asking);
    }
    if (isRepeatable) this.#cache?.put(key, outcome.response, asking.key === '');
    return this.told(subgraph, answer, asking);
  }

  /** What of a subgraph's answer the caller may be told: all of it, unless its errors are the operator's alone. */
  told(subgraph: string, answer: SubgraphAnswer, { caller }: Asking): SubgraphAnswer {
    if (this.#parts.config.errors.subgraph_messages === 'show') return answer;
    // Of gRPC services the names of statuses are told, never their words.
    if (this.clientOf(subgraph).settings.protocol === 'grpc') return answer;
    return redactAnswer(answer, (errors) => {
      const id = this.#parts.newId();
      const fields = { id, subgraph, caller: caller.spiffeId, errors };
      this.#parts.log.warn(fields, 'subgraph answered with errors');
      return id;
    });
  }

  /** The operator is told why, the caller that it is so; both have the id. */
  missing(operation: SubgraphOperation, failure: Failed, asking: Asking): SubgraphAnswer {
    return missingAnswer(operation, this.report(operation.subgraph, failure, asking));
  }

  report(subgraph: string, { code, reason, detail, fields }: Failed, { caller }: Asking): string {
    const id = this.#parts.newId();
    const by = caller.spiffeId;
    this.#parts.log.warn(
      { ...fields, id, subgraph, code, reason, caller: by },
      `subgraph failed: ${detail}`,
    );
    return id;
  }
}

type Failed = Omit<SubgraphFailure, 'isUnsent' | 'reason'> & { readonly reason: string };

/** What a subgraph is told beside the body, and what that means for who else may have the answer. */
interface Told {
  readonly headers: readonly string[];
  readonly key: string;
}

function notGraphql({ status, text }: { readonly status: number; readonly text: string }) {
  return {
    code: 'ERR_SUBGRAPH_RESPONSE' as const,
    reason: 'response',
    detail: `answered ${status} with JSON that is no GraphQL response`,
    fields: { status, beginning: text.slice(0, 200) },
  };
}
