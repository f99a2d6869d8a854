import type { IncomingHttpHeaders } from 'node:http';
import { type Clock, type Denial, denial, type Log } from '@countersign/base';
import { executeSync, type GraphQLSchema } from 'graphql';
import type { RouterConfig } from './config/router-config.ts';
import { type AnswerPart, deliverParts, type PartFormat } from './defer/deliver-parts.ts';
import { ErrorBook } from './defer/error-book.ts';
import { fetchParts } from './defer/fetch-parts.ts';
import { HeldPlanner } from './defer/held-planner.ts';
import { bodyOf, type Execution, executePlan } from './execute/execute-plan.ts';
import { type Data, projectData, type Variables } from './execute/project-data.ts';
import type { ResponseError } from './execute/response-error.ts';
import { AccessRules } from './operation/access.ts';
import type { Caller } from './operation/caller.ts';
import { beyond } from './operation/document-limits.ts';
import { operationVariables, type ReadyOperation } from './operation/operation-variables.ts';
import { atAnswer, PlannerAliases } from './operation/planner-alias.ts';
import {
  OperationPreparer,
  type PreparedOperation,
  type RefusedOperation,
  refused,
} from './operation/prepare-operation.ts';
import { publicSchemaOf } from './operation/public-schema.ts';
import { giveUpAfter } from './operation/time-limit.ts';
import { ProgressiveOverride } from './plan/progressive-override.ts';
import { openQueryPlanner, type QueryPlanner } from './plan/query-planner.ts';
import { failureOf, type SubgraphFailure } from './subgraph/failure.ts';
import type { Subgraph } from './subgraph/subgraph.ts';
import { subgraphHeaders } from './subgraph/subgraph-headers.ts';
import { SubgraphAsker } from './subgraph-asker.ts';
import { completeEvent, subscriptionPlan } from './subscribe/subscribe.ts';
import type { Supergraph } from './supergraph/supergraph.ts';
import { unknownRoles } from './supergraph/unknown-roles.ts';
import type { OperationWatch } from './telemetry/operation-watch.ts';
import { type ForwardedFiles, forwardFiles } from './uploads/forward-files.ts';
import type { IncomingFiles } from './uploads/incoming-files.ts';

/** One operation as it was asked for. */
export interface GraphqlRequest {
  readonly query: string;
  readonly operationName: string | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
  /** Files that come with it, which its variables name. */
  readonly files?: IncomingFiles | undefined;
}

/** Around an operation: who asks, and how long. */
export interface Asking {
  readonly caller: Caller;
  readonly headers: IncomingHttpHeaders;
  /** What subgraphs are told of the caller, names and values alternating. */
  readonly identity: (subgraph: string) => readonly string[];
  readonly signal: AbortSignal;
  /** Told of every fetch. */
  readonly watch?: OperationWatch;
}

export interface GraphqlResult {
  /** Undefined: it ran, whatever came of it. */
  readonly refusal: Denial | undefined;
  readonly prepared: PreparedOperation | undefined;
  readonly body: GraphqlBody;
}

export interface GraphqlBody {
  readonly errors?: readonly ResponseError[];
  readonly data?: Data | null;
}

export interface EngineParts {
  readonly supergraph: Supergraph;
  readonly config: RouterConfig;
  readonly clients: ReadonlyMap<string, Subgraph>;
  readonly newId: () => string;
  /** Chance, from 0 to below 100: which operations see fields where they move to. */
  readonly draw: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A supergraph in force: everything that a change of it replaces as a whole. */
export class RouterEngine {
  readonly schema: GraphQLSchema;
  readonly clients: ReadonlyMap<string, Subgraph>;
  readonly preparer: OperationPreparer;
  readonly #parts: EngineParts;
  readonly #planners: readonly Pick<QueryPlanner, 'retire'>[];
  #running = 0;
  readonly #asker: SubgraphAsker;

  private constructor(
    parts: EngineParts,
    schema: GraphQLSchema,
    preparer: OperationPreparer,
    planners: readonly Pick<QueryPlanner, 'retire'>[],
  ) {
    this.#parts = parts;
    this.#planners = planners;
    this.schema = schema;
    this.clients = parts.clients;
    this.preparer = preparer;
    this.#asker = new SubgraphAsker(parts);
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER, ERR_ROUTER_SUPERGRAPH */
  static async open(parts: EngineParts): Promise<RouterEngine> {
    const { supergraph, config } = parts;
    const planner = await openQueryPlanner(supergraph.sdl, parts.log);
    const held = new HeldPlanner(supergraph.sdl, parts.log);
    const schema = publicSchemaOf(planner.publicSdl);
    const access = new AccessRules(supergraph, schema);
    const aliases = new PlannerAliases(supergraph.requiredNames);
    const { limits, introspection } = config;
    const override = new ProgressiveOverride(planner.overrides, config.override_labels, parts.draw);
    tellUnknownLabels(planner.overrides.labels, parts);
    for (const each of unknownRoles(supergraph, config)) parts.log.warn({}, each);
    const preparer = new OperationPreparer({
      ...{ schema, planner, held, access, override, limits, introspection, aliases },
    });
    return new RouterEngine(parts, schema, preparer, [planner, held]);
  }

  /** The story of an operation: prepare, access, variables, fetch, project. Never rejects for what a caller sent. */
  async execute(request: GraphqlRequest, asking: Asking): Promise<GraphqlResult> {
    // 1. limits, parse, validate, access, plan: remembered
    // 2. variables, by their types
    const ready = await this.#ready(request, asking);
    if (!ready.ok) return refusedResult(ready);
    const { prepared, variables } = ready;
    if (prepared.kind === 'subscription') return refusedResult(notStreamed);
    const forwarded = request.files && this.#forward(prepared, variables, request.files);
    if (forwarded !== undefined && 'ok' in forwarded) return refusedResult(forwarded);
    // 3. fetch
    const execution = this.#asker.execution(variables, asking, forwarded);
    this.#running += 1;
    try {
      if (prepared.plan !== undefined) await executePlan(prepared.plan, execution);
    } finally {
      this.#running -= 1;
    }
    // 4. what of it the caller asked for, and may see
    return { refusal: undefined, prepared, body: this.#complete(prepared, execution) };
  }

  /**
   * The answers to an operation as they come: of a subscription one for each event, each as {@link execute} would make
   * it, of others the one, or its parts where the caller takes them. Ends when the subgraph ends it, or with the signal.
   * What breaks is a last answer with errors.
   */
  stream(
    request: GraphqlRequest,
    asking: Asking,
    format?: PartFormat,
  ): AsyncGenerator<GraphqlBody | AnswerPart> {
    return this.#untilOver(this.#stream(request, asking, format));
  }

  async *#stream(
    request: GraphqlRequest,
    asking: Asking,
    format: PartFormat | undefined,
  ): AsyncGenerator<GraphqlBody | AnswerPart> {
    const ready = await this.#ready(request, asking);
    if (!ready.ok) return yield { errors: ready.errors };
    const { prepared, variables } = ready;
    if (prepared.kind !== 'subscription') {
      const timed = this.#timed(asking);
      try {
        const deferred = format && (await this.inParts(request, timed, format, asking.signal));
        if (deferred === undefined) return yield (await this.execute(request, timed)).body;
        if (!deferred.ok) return yield { errors: deferred.errors };
        return yield* deferred.parts;
      } finally {
        timed.over();
      }
    }
    if (prepared.plan === undefined) {
      // Its field is refused: said in its place, as of any other.
      return yield this.#complete(prepared, this.#asker.execution(variables, asking));
    }
    const plan = subscriptionPlan(prepared.plan);
    const client = this.#asker.clientOf(plan.primary.subgraph);
    const body = bodyOf(plan.primary, variables);
    const rules = subgraphHeaders(client.settings, asking.headers);
    const watched = asking.watch?.fetch(client, 'subscription');
    const traced = watched?.headers ?? [];
    const headers = [...rules, ...asking.identity(client.settings.name), ...traced];
    let result = 'ok';
    try {
      const report = (failure: SubgraphFailure) => {
        result = failure.reason;
        return this.#asker.report(plan.primary.subgraph, failure, asking);
      };
      const events = client.events({ body, headers, signal: asking.signal, report });
      for await (const answer of events) {
        const timed = this.#timed(asking);
        const execution = this.#asker.execution(variables, timed);
        const told = this.#asker.told(plan.primary.subgraph, answer, asking);
        await completeEvent(plan, told, execution).finally(timed.over);
        yield this.#complete(prepared, execution);
      }
    } catch (thrown) {
      if (asking.signal.aborted) return;
      const failure = failureOf(thrown);
      result = failure.reason;
      const { errors } = this.#asker.missing(plan.primary, failure, asking);
      yield { errors, data: null };
    } finally {
      watched?.end(result);
    }
  }

  /**
   * The answer in parts, of an operation that defers some of it; undefined where it does not, or would not run at all.
   *
   * @param leaving when nobody takes parts any more; until then each comes, be it with the errors of what was given up
   * @returns a refusal where it has too many parts
   */
  async inParts(
    request: GraphqlRequest,
    asking: Asking,
    format: PartFormat,
    leaving = asking.signal,
  ): Promise<AnswerInParts | RefusedOperation | undefined> {
    const ready = await this.#ready(request, asking);
    if (!ready.ok || ready.prepared.deferral === undefined) return undefined;
    const { prepared, variables } = ready;
    const deferred = await prepared.deferral?.(variables)?.catch((thrown) => {
      const fields = { err: thrown, operation: prepared.name };
      this.#parts.log.warn(fields, 'deferred fragments cannot be planned: answered at once');
      return undefined;
    });
    if (deferred === undefined || deferred.parents.length === 1) return undefined;
    const most = this.#parts.config.limits.max_deferred;
    const found = deferred.parents.length - 1;
    if (found > most) return refused(beyond('deferred fragments', found, most));
    const execution = this.#asker.execution(variables, asking);
    const errors = new ErrorBook();
    const parts = deliverParts({
      ...{ deferred, format, errors, schema: this.schema, data: execution.data },
      ready: fetchParts(deferred, execution, (each) => errors.add(each)),
      ...{ variables: request.variables, isRefused: prepared.isRefused, signal: leaving },
      aliases: this.preparer.aliases,
    });
    return { ok: true, prepared, parts: this.#untilOver(parts) };
  }

  async #ready(
    { query, operationName, variables: given }: GraphqlRequest,
    { caller, watch }: Asking,
  ): Promise<ReadyOperation | RefusedOperation> {
    const prepared = await this.preparer.prepare(query, operationName, caller);
    if (!prepared.ok) return prepared;
    if (watch !== undefined) watch.operation = prepared;
    const { introspection } = this.#parts.config;
    const ready = operationVariables(prepared, given, this.schema, !introspection);
    return ready.ok ? (this.#rejected(ready) ?? ready) : ready;
  }

  /** Whoever asks, for no longer than an operation may take. */
  #timed(asking: Asking): Asking & { readonly over: () => void } {
    const { config, clock } = this.#parts;
    const giveUp = new AbortController();
    const over = giveUpAfter(config.limits.operation_timeout, giveUp, clock);
    return { ...asking, signal: AbortSignal.any([asking.signal, giveUp.signal]), over };
  }

  /** An answer of what an execution has fetched. */
  #complete(prepared: PreparedOperation, { data, errors, variables }: Execution): GraphqlBody {
    errors.forEach((error, i) => {
      errors[i] = atAnswer(error);
    });
    const projected = projectData(data, prepared.projection, variables, errors);
    if (prepared.introspection !== undefined && projected !== null) {
      const shown = executeSync({
        schema: this.schema,
        document: prepared.introspection,
        variableValues: variables,
      });
      Object.assign(projected, shown.data);
      for (const { message, path } of shown.errors ?? []) {
        errors.push({ message, path: path as (string | number)[] });
      }
    }
    return errors.length === 0 ? { data: projected } : { errors, data: projected };
  }

  #forward(
    { plan }: PreparedOperation,
    variables: Variables,
    files: IncomingFiles,
  ): ForwardedFiles | RefusedOperation | undefined {
    const found = forwardFiles(plan, variables, files);
    if (found === undefined) return undefined;
    if ('ok' in found) return refused(found);
    const { subgraph } = found.operation;
    if (this.#asker.clientOf(subgraph).settings.protocol === 'graphql') return found;
    return refused(
      denial('ERR_GRAPHQL_UPLOAD', `"${subgraph}" is a gRPC subgraph, which takes no files`),
    );
  }

  /** Whether an operation may still ask the subgraphs of this engine. */
  get isIdle(): boolean {
    return this.#running === 0;
  }

  #untilOver<T>(all: AsyncGenerator<T>): AsyncGenerator<T> {
    this.#running += 1;
    const over = () => {
      this.#running -= 1;
    };
    return (async function* untilOver() {
      try {
        yield* all;
      } finally {
        over();
      }
    })();
  }

  /** For what is under way when another takes over: it is planned yet, and then no more. */
  retire(): void {
    for (const planner of this.#planners) planner.retire();
  }

  #rejected({ prepared, variables }: ReadyOperation): RefusedOperation | undefined {
    if (prepared.refusals.length === 0) return undefined;
    if (this.#parts.config.authorization.on_refused === 'null') return undefined;
    const refusals = prepared.refusalsMet(variables);
    if (refusals.length === 0) return undefined;
    const places = refusals.map(({ fields }) => String(fields.coordinate));
    const reason = denial('ERR_GRAPHQL_DENIED', `not allowed to read "${places.join('", "')}"`);
    const errors = places.map((place) => ({
      message: `not allowed to read "${place}"`,
      extensions: { code: reason.code },
    }));
    return { ...reason, errors };
  }
}

/** An answer that comes bit by bit. */
export interface AnswerInParts {
  readonly ok: true;
  readonly prepared: PreparedOperation;
  readonly parts: AsyncGenerator<AnswerPart>;
}

const notStreamed = refused(
  denial(
    'ERR_GRAPHQL_REQUEST',
    'a subscription is answered as text/event-stream or over a WebSocket',
  ),
);

/** Said, not refused: the label goes from the supergraph first when a move is done. */
function tellUnknownLabels(labels: readonly string[], { config, log }: EngineParts): void {
  const unknown = ProgressiveOverride.unknown(labels, config.override_labels);
  if (unknown.length > 0) log.warn({ labels: unknown }, 'override labels that no field has');
}

function refusedResult({ errors, ...reason }: RefusedOperation): GraphqlResult {
  return { refusal: reason, prepared: undefined, body: { errors } };
}
