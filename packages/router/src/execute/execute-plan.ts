import type {
  BatchFetchPlan,
  EntityNeeds,
  FetchPlan,
  FlattenPlan,
  PathStep,
  Plan,
  Rewrite,
  SubgraphOperation,
} from '../plan/plan.ts';
import type { TypeTable } from '../supergraph/supergraph.ts';
import { entitiesAt, pathsOf, representationOf, rewrite } from './entities.ts';
import { mergeInto } from './merge-data.ts';
import type { Data, Variables } from './project-data.ts';
import type { ResponseError, SubgraphAnswer } from './response-error.ts';

/**
 * Asks a subgraph. Never rejects: what went wrong is an error of the answer.
 *
 * @param body the request's body, JSON
 */
export type AskSubgraph = (operation: SubgraphOperation, body: string) => Promise<SubgraphAnswer>;

/** One operation on its way: what was fetched so far, and what went wrong. */
export interface Execution {
  readonly data: Data;
  readonly errors: ResponseError[];
  readonly variables: Variables;
  readonly types: TypeTable;
  readonly ask: AskSubgraph;
}

/** Runs a plan: its fetches, one after the other and side by side, each merged into the data that there is. */
export async function executePlan(plan: Plan, execution: Execution): Promise<void> {
  switch (plan.kind) {
    case 'sequence':
      for (const node of plan.nodes) await executePlan(node, execution);
      return;
    case 'parallel':
      await Promise.all(plan.nodes.map((node) => executePlan(node, execution)));
      return;
    case 'condition': {
      const isTrue = execution.variables[plan.variable] === true;
      const next = isTrue ? plan.whenTrue : plan.whenFalse;
      if (next !== undefined) await executePlan(next, execution);
      return;
    }
    case 'fetch':
      return await fetchRoot(plan, execution);
    case 'flatten':
      return await fetchEntities(plan, execution);
    case 'batch':
      return await fetchBatch(plan, execution);
    case 'subscription':
      throw new TypeError('a subscription is opened, not executed');
  }
}

/** Takes an answer of root fields, as a subscription's event is one, too. */
export function takeRoot(
  plan: Pick<FetchPlan, 'outputRewrites'>,
  { data, errors }: SubgraphAnswer,
  execution: Execution,
): void {
  for (const error of errors) execution.errors.push(error);
  if (data === null || data === undefined) return;
  for (const rule of plan.outputRewrites) rewrite(data, rule, execution.types);
  mergeInto(execution.data, data);
}

async function fetchRoot(plan: FetchPlan, execution: Execution): Promise<void> {
  const body = bodyOf(plan, execution.variables);
  takeRoot(plan, await execution.ask(plan, body), execution);
}

/** Entities that need more, without doubles. */
interface Collected {
  /** JSON of each different representation. */
  readonly texts: string[];
  readonly byText: Map<string, number>;
}

/** The objects at one path, each with the index of its representation. */
interface Targets {
  readonly entities: Data[];
  readonly indices: number[];
  readonly path: readonly PathStep[];
}

async function fetchEntities({ path, fetch }: FlattenPlan, execution: Execution): Promise<void> {
  const collected: Collected = { texts: [], byText: new Map() };
  const targets = collect(path, fetch, execution, collected);
  if (collected.texts.length === 0) return;
  const entities = `"representations":[${collected.texts.join(',')}]`;
  const { data, errors } = await execution.ask(fetch, bodyOf(fetch, execution.variables, entities));
  if (errors.length > 0) relocate(errors, '_entities', [targets], execution);
  spread(data?._entities, [targets], fetch.outputRewrites, data, execution);
}

async function fetchBatch(plan: BatchFetchPlan, execution: Execution): Promise<void> {
  const byVariable = new Map<string, Collected>();
  const byAlias = plan.aliases.map((alias) => {
    const collected = byVariable.get(alias.variable) ?? { texts: [], byText: new Map() };
    byVariable.set(alias.variable, collected);
    const targets = alias.paths.map((path) => collect(path, alias, execution, collected));
    return { alias, targets };
  });
  const all = [...byVariable];
  if (all.every(([, { texts }]) => texts.length === 0)) return;
  const entities = all.map(([name, { texts }]) => `${JSON.stringify(name)}:[${texts.join(',')}]`);
  const body = bodyOf(plan, execution.variables, entities.join(','));
  const { data, errors } = await execution.ask(plan, body);
  for (const { alias, targets } of byAlias) {
    const own = errors.filter(({ path }) => path?.[0] === alias.alias);
    if (own.length > 0) relocate(own, alias.alias, targets, execution);
    const found = data?.[alias.alias];
    spread(found, targets, alias.outputRewrites, found, execution);
  }
  const known = new Set(byAlias.map(({ alias }) => alias.alias));
  const [first] = byAlias;
  const others = errors.filter(({ path }) => !known.has(String(path?.[0])));
  if (others.length > 0 && first !== undefined) {
    relocate(others, first.alias.alias, first.targets, execution);
  }
}

function collect(
  path: readonly PathStep[],
  needs: EntityNeeds,
  { data, types }: Execution,
  { texts, byText }: Collected,
): Targets {
  const entities: Data[] = [];
  const indices: number[] = [];
  for (const entity of entitiesAt(data, path, types)) {
    const representation = representationOf(entity, needs, types);
    if (representation === undefined) continue;
    const text = JSON.stringify(representation);
    let index = byText.get(text);
    if (index === undefined) {
      index = texts.push(text) - 1;
      byText.set(text, index);
    }
    entities.push(entity);
    indices.push(index);
  }
  return { entities, indices, path };
}

/** The body of a request to a subgraph. @param entities further members of its variables, JSON */
export function bodyOf(
  operation: SubgraphOperation,
  variables: Variables,
  entities?: string,
): string {
  const parts: string[] = [];
  for (const name of operation.variables) {
    const value = variables[name];
    if (value !== undefined) parts.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
  }
  if (entities !== undefined) parts.push(entities);
  if (parts.length === 0) return `${operation.bodyPrefix}}`;
  return `${operation.bodyPrefix},"variables":{${parts.join(',')}}}`;
}

/** Merges each answered entity into the objects that it was asked for. */
function spread(
  found: unknown,
  targets: readonly Targets[],
  rewrites: readonly Rewrite[],
  rewritten: unknown,
  { types }: Execution,
): void {
  if (!Array.isArray(found)) return;
  for (const rule of rewrites) rewrite(rewritten, rule, types);
  const isTaken = new Uint8Array(found.length);
  for (const { entities, indices } of targets) {
    for (let i = 0; i < entities.length; i += 1) {
      const index = indices[i] as number;
      const source: unknown = found[index];
      if (typeof source !== 'object' || source === null) continue;
      // Objects that share a representation must not share what is below it: later fetches write there.
      const own = isTaken[index] === 1 ? structuredClone(source) : source;
      isTaken[index] = 1;
      mergeInto(entities[i] as Data, own as Data);
    }
  }
}

/** Errors of entities as errors of the places that they were asked for. */
function relocate(
  errors: readonly ResponseError[],
  root: string,
  targets: readonly Targets[],
  execution: Execution,
): void {
  const { data, types } = execution;
  for (const error of errors) {
    const index = error.path?.[0] === root ? error.path[1] : undefined;
    const rest = error.path?.slice(2) ?? [];
    const at = targets.flatMap((each) => {
      const places = placesOf(each, data, types);
      return places.filter((_, i) => index === undefined || each.indices[i] === index);
    });
    const [first] = at;
    if (first === undefined) execution.errors.push({ ...error, path: undefined });
    else if (index === undefined) execution.errors.push({ ...error, path: first });
    else for (const place of at) execution.errors.push({ ...error, path: [...place, ...rest] });
  }
}

/** Where the targets stand now: found again, since nobody kept their paths while all was well. */
function placesOf({ entities, path }: Targets, data: Data, types: TypeTable) {
  const all = entitiesAt(data, path, types);
  const paths = pathsOf(data, path, types);
  return entities.map((entity) => paths[all.indexOf(entity)] ?? []);
}
