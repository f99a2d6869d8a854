import { CountersignError, messageOf } from '@countersign/base';
import { type ConstDirectiveNode, type DocumentNode, Kind, parse } from 'graphql';
import { type AccessRule, readRules } from './access-rules.ts';

/** A supergraph as the router uses it. */
export interface Supergraph {
  readonly sdl: string;
  /** By name, with the URL that the supergraph says. */
  readonly subgraphs: ReadonlyMap<string, string>;
  readonly types: TypeTable;
  /** Names of the fields that keys and requirements are made of. */
  readonly requiredNames: ReadonlySet<string>;
  /** By schema coordinate. */
  readonly rules: ReadonlyMap<string, readonly AccessRule[]>;
}

/** Which object types are what, inaccessible ones included. */
export class TypeTable {
  readonly #objects: ReadonlySet<string>;
  readonly #members: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(objects: ReadonlySet<string>, members: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#objects = objects;
    this.#members = members;
  }

  isObject(name: string): boolean {
    return this.#objects.has(name);
  }

  /** Whether a value of the type `name` is one of `condition`, which may be an interface or a union. */
  satisfies(name: string, condition: string): boolean {
    return name === condition || this.#members.get(condition)?.has(name) === true;
  }

  satisfiesAny(name: string, conditions: readonly string[]): boolean {
    return conditions.some((condition) => this.satisfies(name, condition));
  }
}

/**
 * @param from where it was read, for messages
 * @throws CountersignError ERR_ROUTER_SUPERGRAPH
 */
export function readSupergraph(sdl: string, from: string): Supergraph {
  const document = parseSupergraph(sdl, from);
  const subgraphs = readSubgraphs(document);
  if (subgraphs.size === 0) {
    throw new CountersignError(
      'ERR_ROUTER_SUPERGRAPH',
      `${from}: no subgraph is named in it, it has no enum "join__Graph"`,
      { hint: 'give a composed supergraph; SDL of one subgraph goes into subgraphs[].schema' },
    );
  }
  return {
    ...{ sdl, subgraphs, types: readTypes(document), rules: readRules(document, from) },
    requiredNames: readRequiredNames(document),
  };
}

function parseSupergraph(sdl: string, from: string): DocumentNode {
  try {
    return parse(sdl, { noLocation: true });
  } catch (thrown) {
    throw new CountersignError('ERR_ROUTER_SUPERGRAPH', `${from}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

function readSubgraphs(document: DocumentNode): Map<string, string> {
  const found = new Map<string, string>();
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.ENUM_TYPE_DEFINITION) continue;
    if (definition.name.value !== 'join__Graph') continue;
    for (const value of definition.values ?? []) {
      const graph = value.directives?.find(({ name }) => name.value === 'join__graph');
      const name = argumentOf(graph, 'name');
      if (name !== undefined) found.set(name, argumentOf(graph, 'url') ?? '');
    }
  }
  return found;
}

function readRequiredNames(document: DocumentNode): Set<string> {
  const found = new Set<string>();
  const take = (directives: readonly ConstDirectiveNode[] = []) => {
    for (const each of directives) {
      for (const name of ['key', 'requires']) {
        const selection = argumentOf(each, name) ?? '';
        for (const [field] of selection.matchAll(/[A-Za-z_]\w*/g)) found.add(field);
      }
    }
  };
  for (const definition of document.definitions) {
    if (!('fields' in definition)) continue;
    take(definition.directives);
    for (const field of definition.fields ?? []) take(field.directives);
  }
  return found;
}

function argumentOf(directive: ConstDirectiveNode | undefined, name: string): string | undefined {
  const value = directive?.arguments?.find((each) => each.name.value === name)?.value;
  return value?.kind === Kind.STRING ? value.value : undefined;
}

function readTypes(document: DocumentNode): TypeTable {
  const objects = new Set<string>();
  const members = new Map<string, Set<string>>();
  const add = (abstract: string, member: string) => {
    const known = members.get(abstract) ?? new Set<string>();
    known.add(member);
    members.set(abstract, known);
  };
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OBJECT_TYPE_DEFINITION) {
      objects.add(definition.name.value);
      for (const each of definition.interfaces ?? []) add(each.name.value, definition.name.value);
    }
    if (definition.kind === Kind.UNION_TYPE_DEFINITION) {
      for (const each of definition.types ?? []) add(definition.name.value, each.name.value);
    }
  }
  return new TypeTable(objects, members);
}
