import { type Execution, executePlan } from '../execute/execute-plan.ts';
import { mergeInto } from '../execute/merge-data.ts';
import type { Data } from '../execute/project-data.ts';
import type { ResponseError } from '../execute/response-error.ts';
import type { DeferredOperation, HeldKeys, PlannedPatch } from './plan-deferred.ts';
import type { Place } from './split-deferred.ts';

/** An object that stands at a place, and the path of that object. */
interface Located {
  readonly object: Data;
  readonly path: readonly (string | number)[];
}

/**
 * Fetches an operation part by part into one tree of data. Each part begins when the one that it is deferred within is
 * there; what is deferred at the root begins at once.
 *
 * @param arrived told of the errors of each part, once its data is there
 * @returns by part: resolves when it is there. Never rejects
 */
export function fetchParts(
  { plan, patches, parents }: DeferredOperation,
  execution: Execution,
  arrived: (errors: readonly ResponseError[]) => void,
): readonly Promise<void>[] {
  const ready: Promise<void>[] = [];
  for (const [part, parent] of parents.entries()) {
    const own = patches.filter((patch) => patch.part === part);
    ready.push(part === 0 ? fetchFirst() : fetchLater(own, ready[parent] as Promise<void>));
  }
  return ready;

  async function fetchFirst(): Promise<void> {
    const own: Execution = { ...execution, errors: [] };
    if (plan !== undefined) await executePlan(plan, own);
    arrived(own.errors);
  }

  async function fetchLater(own: readonly PlannedPatch[], parent: Promise<void>): Promise<void> {
    const errors: ResponseError[] = [];
    const atRoot = own.filter(({ held }) => held === undefined);
    const early = Promise.all(atRoot.map((patch) => fetchRoot(patch, execution, errors)));
    await parent;
    const later = own.filter(({ held }) => held !== undefined);
    await Promise.all(later.map((patch) => fetchEntities(patch, execution, errors)));
    await early;
    arrived(errors);
  }
}

async function fetchRoot(
  { plan }: PlannedPatch,
  execution: Execution,
  errors: ResponseError[],
): Promise<void> {
  if (plan !== undefined) await executePlan(plan, { ...execution, errors });
}

/** Completes every object of a patch: its plan runs on their keys alone, and what it found is put where they stand. */
async function fetchEntities(
  { place, typeName, held, plan, keys }: PlannedPatch,
  execution: Execution,
  errors: ResponseError[],
): Promise<void> {
  if (held === undefined) return;
  const located = objectsAt(execution.data, place, typeName);
  const found = located.flatMap((each) => {
    const known = keyOf(each.object, typeName, held);
    return known === undefined ? [] : [{ ...each, known }];
  });
  if (found.length === 0) return;
  const data: Data = { [held.field]: found.map(({ known }) => known) };
  const own: Execution = { ...execution, data, errors: [] };
  if (plan !== undefined) await executePlan(plan, own);
  for (const { object, known } of found) {
    const added: Data = {};
    for (const key of keys) if (Object.hasOwn(known, key)) added[key] = known[key];
    mergeInto(object, added);
  }
  for (const error of own.errors) {
    const [root, index, ...rest] = error.path ?? [];
    const at = root === held.field && typeof index === 'number' ? found[index] : found[0];
    errors.push({ ...error, path: at === undefined ? undefined : [...at.path, ...rest] });
  }
}

function keyOf(object: Data, typeName: string, { names }: HeldKeys): Data | undefined {
  const known: Data = { __typename: typeName };
  for (const { name, alias } of names) {
    const value = object[alias];
    if (value === undefined || value === null) return undefined;
    known[name] = value;
  }
  return known;
}

function objectsAt(data: Data, place: Place, typeName: string): Located[] {
  const found: Located[] = [];
  look(data, 0, []);
  return found;

  function look(value: unknown, step: number, path: readonly (string | number)[]): void {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const [i, each] of value.entries()) look(each, step, [...path, i]);
      return;
    }
    const object = value as Data;
    const { on, key } = place[step] ?? {};
    const { __typename } = object;
    if (typeof __typename === 'string' && step > 0 && __typename !== (on ?? typeName)) return;
    if (key === undefined) found.push({ object, path });
    else look(object[key], step + 1, [...path, key]);
  }
}
