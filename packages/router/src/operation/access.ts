import { type Denial, denial } from '@countersign/base';
import {
  type FieldNode,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedInputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  Kind,
  type ValueNode,
} from 'graphql';
import type { AccessRule } from '../supergraph/access-rules.ts';
import type { Supergraph } from '../supergraph/supergraph.ts';
import { type Caller, matchesPrincipal } from './caller.ts';

/** Why a rule refuses a caller, or undefined. Pure; the one place that judges. */
export function judgeRule(rule: AccessRule, caller: Caller): Denial | undefined {
  const judged = judges[rule.kind](rule, caller);
  if (judged === undefined) return undefined;
  return denial('ERR_GRAPHQL_DENIED', `@${rule.kind} on ${rule.coordinate}: ${judged}`, {
    coordinate: rule.coordinate,
    rule: rule.kind,
    caller: caller.spiffeId,
  });
}

type Judge = (rule: AccessRule, caller: Caller) => string | undefined;

const judges: Readonly<Record<AccessRule['kind'], Judge>> = {
  allow(rule, caller) {
    if (isNamed(rule, caller)) return undefined;
    return `caller is ${nameOf(caller)}, allowed are ${namesOf(rule)}`;
  },
  deny(rule, caller) {
    // A denial without names is for everybody.
    const isForAll = rule.principals.length === 0 && rule.roles.length === 0;
    if (!isForAll && !isNamed(rule, caller)) return undefined;
    return `caller is ${nameOf(caller)}, denied are ${isForAll ? 'all' : namesOf(rule)}`;
  },
  authenticated(_rule, caller) {
    if (caller.spiffeId !== undefined || caller.claims !== undefined) return undefined;
    return 'caller is a stranger, an identity or a token is needed';
  },
  requiresScopes({ anyOf }, { claims }) {
    const holds = anyOf.some((all) => all.every((scope) => claims?.scopes.has(scope) === true));
    if (holds) return undefined;
    const held = claims === undefined ? 'no token' : `scopes "${[...claims.scopes].join(' ')}"`;
    return `caller has ${held}, needed are ${alternatives(anyOf)}`;
  },
  policy({ anyOf }, { roles }) {
    // A policy is a role of the configuration: whoever holds all of one list.
    if (anyOf.some((all) => all.every((name) => roles.has(name)))) return undefined;
    return `caller has roles "${[...roles].join(' ')}", needed are ${alternatives(anyOf)}`;
  },
};

function isNamed({ principals, roles }: AccessRule, caller: Caller): boolean {
  return (
    matchesPrincipal(caller.spiffeId, principals) || roles.some((role) => caller.roles.has(role))
  );
}

function nameOf({ spiffeId, roles }: Caller): string {
  const held = roles.size === 0 ? '' : ` with the roles "${[...roles].join('", "')}"`;
  return spiffeId === undefined ? 'a stranger' : `"${spiffeId}"${held}`;
}

function namesOf({ principals, roles }: AccessRule): string {
  const names = [
    ...principals.map((each) => `"${each}"`),
    ...roles.map((role) => `role "${role}"`),
  ];
  return names.length === 0 ? 'none' : names.join(', ');
}

function alternatives(anyOf: readonly (readonly string[])[]): string {
  return anyOf.map((all) => `"${all.join(' ')}"`).join(' or ');
}

/**
 * Which rules of a supergraph bind a field: its own, those of the type that has it and of the interfaces that it comes
 * from, of the type that it gives, and of the types that its arguments are given.
 */
export class AccessRules {
  readonly #rules: Supergraph['rules'];
  readonly #schema: GraphQLSchema;
  readonly #known = new Map<string, readonly AccessRule[]>();

  constructor(supergraph: Pick<Supergraph, 'rules'>, schema: GraphQLSchema) {
    this.#rules = supergraph.rules;
    this.#schema = schema;
  }

  get isEmpty(): boolean {
    return this.#rules.size === 0;
  }

  /** Of a field that is selected on the type `typeName` itself. */
  of(typeName: string, field: FieldNode): readonly AccessRule[] {
    const name = field.name.value;
    if (name.startsWith('__')) return [];
    const args = field.arguments ?? [];
    if (args.length === 0) return this.#ofField(typeName, name);
    const names = this.#namesOf(typeName);
    const ofArguments = names.flatMap((each) =>
      args.flatMap((arg) => this.#rules.get(`${each}.${name}(${arg.name.value}:)`) ?? []),
    );
    return [...this.#ofField(typeName, name), ...ofArguments, ...this.#ofValues(typeName, field)];
  }

  /** Every rule that a selection on `typeName` can meet, of the types that it may turn out to be, too. */
  reachable(typeName: string, field: FieldNode): readonly AccessRule[] {
    return [typeName, ...this.possibleTypes(typeName)].flatMap((each) => this.of(each, field));
  }

  /** The object types that an interface or union stands for; none for an object type. */
  possibleTypes(typeName: string): readonly string[] {
    const type = this.#schema.getType(typeName);
    if (!isAbstractType(type)) return [];
    return this.#schema.getPossibleTypes(type).map(({ name }) => name);
  }

  #ofField(typeName: string, name: string): readonly AccessRule[] {
    const key = `${typeName}.${name}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const rules = this.#namesOf(typeName).flatMap((each) => [
      ...(this.#rules.get(each) ?? []),
      ...(this.#rules.get(`${each}.${name}`) ?? []),
    ]);
    const given = this.#definitionOf(typeName, name)?.type;
    // Whoever must not see a type is not given it, nor has anything run that would give it.
    const givenNames = given === undefined ? [] : this.#namesOf(getNamedType(given).name);
    rules.push(...givenNames.flatMap((each) => this.#rules.get(each) ?? []));
    this.#known.set(key, rules);
    return rules;
  }

  #ofValues(typeName: string, field: FieldNode): readonly AccessRule[] {
    const args = this.#definitionOf(typeName, field.name.value)?.args ?? [];
    const found = new Set<string>();
    for (const { name, value } of field.arguments ?? []) {
      const type = args.find((arg) => arg.name === name.value)?.type;
      if (type !== undefined) addTypes(type, value, found);
    }
    return [...found].flatMap((each) => this.#rules.get(each) ?? []);
  }

  #definitionOf(typeName: string, name: string): GraphQLField<unknown, unknown> | undefined {
    const type = this.#schema.getType(typeName);
    return isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined;
  }

  #namesOf(typeName: string): readonly string[] {
    const type = this.#schema.getType(typeName);
    const hasInterfaces = isObjectType(type) || isInterfaceType(type);
    const interfaces = hasInterfaces ? type.getInterfaces().map(({ name }) => name) : [];
    return [typeName, ...interfaces];
  }
}

/** Names of the types that a value holds something of, as it is written; of a variable, all that it can hold. */
function addTypes(type: GraphQLInputType, value: ValueNode, found: Set<string>): void {
  const named = getNamedType(type);
  if (value.kind === Kind.VARIABLE) addAllTypes(named, found);
  found.add(named.name);
  if (value.kind === Kind.LIST) for (const item of value.values) addTypes(named, item, found);
  if (value.kind !== Kind.OBJECT || !isInputObjectType(named)) return;
  const fields = named.getFields();
  for (const { name, value: inner } of value.fields) {
    const own = fields[name.value];
    if (own !== undefined) addTypes(own.type, inner, found);
  }
}

function addAllTypes(root: GraphQLNamedInputType, found: Set<string>): void {
  const seen = new Set<GraphQLNamedInputType>([root]);
  for (const type of seen) {
    found.add(type.name);
    if (!isInputObjectType(type)) continue;
    for (const field of Object.values(type.getFields())) seen.add(getNamedType(field.type));
  }
}
