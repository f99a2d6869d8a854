import type { EntityNeeds, PathStep, Required, Rewrite, RewriteStep } from '../plan/plan.ts';
import type { TypeTable } from '../supergraph/supergraph.ts';

type Values = Record<string, unknown>;

/** Every object that stands at the path, in order. */
export function entitiesAt(data: Values, path: readonly PathStep[], types: TypeTable): Values[] {
  const found: Values[] = [];
  walk(data, path, 0, types, (entity) => found.push(entity));
  return found;
}

/** Where the objects of {@link entitiesAt} stand, in the same order; asked for errors alone. */
export function pathsOf(
  data: Values,
  path: readonly PathStep[],
  types: TypeTable,
): (readonly (string | number)[])[] {
  const found: (readonly (string | number)[])[] = [];
  const at: (string | number)[] = [];
  walk(data, path, 0, types, () => found.push([...at]), at);
  return found;
}

function walk(
  value: unknown,
  path: readonly PathStep[],
  step: number,
  types: TypeTable,
  found: (entity: Values) => void,
  at?: (string | number)[],
): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    const next = path[step]?.kind === 'list' ? step + 1 : step;
    for (let i = 0; i < value.length; i += 1) {
      at?.push(i);
      walk(value[i], path, next, types, found, at);
      at?.pop();
    }
    return;
  }
  const segment = path[step];
  if (segment === undefined) {
    found(value as Values);
    return;
  }
  if (segment.kind === 'field') {
    at?.push(segment.name);
    walk((value as Values)[segment.name], path, step + 1, types, found, at);
    at?.pop();
    return;
  }
  if (segment.kind === 'list') return;
  const { __typename } = value as Values;
  // An object that does not say its type is taken for what the plan expects there.
  if (typeof __typename === 'string' && !types.satisfiesAny(__typename, segment.names)) return;
  walk(value, path, step + 1, types, found, at);
}

/** What a subgraph is told of an entity, or undefined where that is not enough to resolve it. */
export function representationOf(
  entity: Values,
  { requires, inputRewrites }: EntityNeeds,
  types: TypeTable,
): Values | undefined {
  if (entity.__typename === undefined || entity.__typename === null) return undefined;
  const found = required(requires, entity, types);
  if (found === undefined) return undefined;
  found.__typename ??= entity.__typename;
  for (const each of inputRewrites) rewrite(found, each, types);
  return found;
}

function required(
  selections: readonly Required[],
  entity: Values,
  types: TypeTable,
): Values | undefined {
  const out: Values = {};
  let isEmpty = true;
  gather(selections, entity);
  return isEmpty ? undefined : out;

  function gather(all: readonly Required[], from: Values): void {
    for (const selection of all) {
      if (selection.kind === 'type') {
        const { __typename } = from;
        if (typeof __typename !== 'string' || types.satisfies(__typename, selection.name)) {
          gather(selection.selections, from);
        }
        continue;
      }
      const { name, key, selections: below } = selection;
      const value = from[name] ?? from[key];
      const projected = below === undefined ? value : requiredBelow(below, value, types);
      if (projected === undefined || projected === null) continue;
      out[key] = projected;
      if (key !== '__typename') isEmpty = false;
    }
  }
}

function requiredBelow(selections: readonly Required[], value: unknown, types: TypeTable): unknown {
  if (Array.isArray(value)) return value.map((each) => requiredBelow(selections, each, types));
  if (typeof value !== 'object' || value === null) return value;
  return required(selections, value as Values, types) ?? null;
}

/** Applies a rewrite of the plan to what a subgraph is told, or to what it answered, in place. */
export function rewrite(value: unknown, rule: Rewrite, types: TypeTable): void {
  apply(value, rule, 0, types);
}

function apply(value: unknown, rule: Rewrite, step: number, types: TypeTable): void {
  if (Array.isArray(value)) {
    for (const each of value) apply(each, rule, step, types);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const segment: RewriteStep | undefined = rule.path[step];
  if (segment === undefined) return;
  const object = value as Values;
  if (segment.kind === 'type') {
    const { __typename } = object;
    if (typeof __typename === 'string' && !types.satisfiesAny(__typename, segment.names)) return;
    apply(value, rule, step + 1, types);
    return;
  }
  if (step < rule.path.length - 1) {
    apply(object[segment.name], rule, step + 1, types);
    return;
  }
  if (rule.kind === 'set') {
    object[segment.name] = rule.value;
    return;
  }
  if (!Object.hasOwn(object, segment.name)) return;
  object[rule.to] = object[segment.name];
  delete object[segment.name];
}
