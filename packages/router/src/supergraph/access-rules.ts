import { CountersignError } from '@countersign/base';
import {
  type ASTNode,
  type ConstDirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type InputValueDefinitionNode,
  Kind,
  parse,
  valueFromASTUntyped,
  visit,
} from 'graphql';
import { principalPattern } from '../operation/caller.ts';

/** One rule at one place of the schema. */
export interface AccessRule {
  /** `Type`, `Type.field` or `Type.field(argument:)`, as the specification's schema coordinates. */
  readonly coordinate: string;
  readonly kind: 'allow' | 'deny' | 'authenticated' | 'requiresScopes' | 'policy';
  /** SPIFFE IDs or their beginning and `*`; of `@allow` and `@deny`. */
  readonly principals: readonly string[];
  readonly roles: readonly string[];
  /** Of `@requiresScopes` and `@policy`: any of these lists, each whole. */
  readonly anyOf: readonly (readonly string[])[];
}

const kinds = new Set(['allow', 'deny', 'authenticated', 'requiresScopes', 'policy']);
const ours = new Set(['allow', 'deny']);

const locations = 'OBJECT | INTERFACE | SCALAR | ENUM | FIELD_DEFINITION | ARGUMENT_DEFINITION';

/** What a subgraph may write without declaring it. */
const definitions = parse(`
directive @allow(principals: [String!], roles: [String!]) repeatable on ${locations}
directive @deny(principals: [String!], roles: [String!]) repeatable on ${locations}
`).definitions;

/** A place of a document that carries directives. */
interface Placed {
  readonly coordinate: string;
  readonly directives: readonly ConstDirectiveNode[];
}

/**
 * Every rule of a supergraph or a subgraph, by coordinate.
 *
 * @param from where it was read, for messages
 * @throws CountersignError ERR_ROUTER_SUPERGRAPH for a rule that would not be held, or not as it was meant
 */
export function readRules(
  document: DocumentNode,
  from: string,
): ReadonlyMap<string, readonly AccessRule[]> {
  refuseStrayRules(document, from);
  const byCoordinate = new Map<string, AccessRule[]>();
  for (const { coordinate, directives } of places(document)) {
    for (const directive of directives) {
      const rule = ruleOf(coordinate, directive, from);
      if (rule === undefined) continue;
      const rules = byCoordinate.get(coordinate) ?? [];
      rules.push(rule);
      byCoordinate.set(coordinate, rules);
    }
  }
  return byCoordinate;
}

/** Where `@allow` and `@deny` stand in a subgraph, and the document without them, which any composition takes. */
export function liftRules(document: DocumentNode): {
  readonly document: DocumentNode;
  readonly rules: readonly Placed[];
} {
  const rules: Placed[] = [];
  for (const { coordinate, directives } of places(document)) {
    const lifted = directives.filter(({ name }) => ours.has(name.value));
    if (lifted.length > 0) rules.push({ coordinate, directives: lifted });
  }
  const kept = mapPlaces(document, (_, directives) =>
    directives.filter(({ name }) => !ours.has(name.value)),
  );
  return { document: kept, rules };
}

/** The supergraph with these directives at their coordinates. What no longer has a place was not kept by composition. */
export function putRules(document: DocumentNode, rules: readonly Placed[]): DocumentNode {
  const put = mapPlaces(document, (coordinate, directives) => [
    ...directives,
    ...rules.filter((rule) => rule.coordinate === coordinate).flatMap((rule) => rule.directives),
  ]);
  const declared = new Set(
    put.definitions.flatMap((each) =>
      each.kind === Kind.DIRECTIVE_DEFINITION ? [each.name.value] : [],
    ),
  );
  const missing = definitions.filter(
    (each) => each.kind === Kind.DIRECTIVE_DEFINITION && !declared.has(each.name.value),
  );
  return { ...put, definitions: [...put.definitions, ...missing] };
}

/** Undefined: the directive is no rule. */
function kindOf({ name }: ConstDirectiveNode): AccessRule['kind'] | undefined {
  // Linked under their own name or prefixed by their specification's, as in `@federation__authenticated`.
  const bare = name.value.replace(/^[A-Za-z]+__/, '');
  return kinds.has(bare) ? (bare as AccessRule['kind']) : undefined;
}

function ruleOf(
  coordinate: string,
  directive: ConstDirectiveNode,
  from: string,
): AccessRule | undefined {
  const kind = kindOf(directive);
  if (kind === undefined) return undefined;
  const wrong = (what: string) =>
    new CountersignError('ERR_ROUTER_SUPERGRAPH', `${from}: @${kind} on ${coordinate} ${what}`);
  for (const { name } of directive.arguments ?? []) {
    // Composition judges the arguments of the others, where they are federation's.
    if (!ours.has(kind) || name.value === 'principals' || name.value === 'roles') continue;
    throw wrong(`has the argument "${name.value}", expected "principals" or "roles"`);
  }
  const args = Object.fromEntries(
    (directive.arguments ?? []).map((each) => [each.name.value, valueFromASTUntyped(each.value)]),
  );
  const texts = (value: unknown): string[] =>
    list(value).map((each) => {
      if (typeof each === 'string') return each;
      throw wrong(`has ${JSON.stringify(each)}, expected a string`);
    });
  const principals = texts(args.principals);
  for (const each of principals) {
    if (principalPattern.test(each)) continue;
    throw wrong(`has the principal "${each}", expected a SPIFFE ID, or its beginning and "*"`);
  }
  const anyOf = list(args.scopes ?? args.policies).map(texts);
  return { coordinate, kind, principals, roles: texts(args.roles), anyOf };
}

/** As GraphQL coerces: one value is a list of it. */
function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** A rule where none is asked about would be held by nobody. */
function refuseStrayRules(document: DocumentNode, from: string): void {
  visit(document, {
    Directive(node, _key, _parent, _path, ancestors) {
      const kind = kindOf(node as ConstDirectiveNode);
      if (kind === undefined || !ours.has(kind)) return;
      const owners = ancestors.filter((each): each is ASTNode => 'kind' in each);
      const [outer, owner] = owners.slice(-2);
      if (owner === undefined || isPlace(owner, outer)) return;
      const name = 'name' in owner && owner.name !== undefined ? ` "${owner.name.value}"` : '';
      throw new CountersignError(
        'ERR_ROUTER_SUPERGRAPH',
        `${from}: @${kind} stands on ${owner.kind}${name}, where it cannot be held`,
        { hint: 'rules stand on objects, interfaces, scalars, enums, fields and arguments' },
      );
    },
  });
}

function isPlace({ kind }: ASTNode, outer: ASTNode | undefined): boolean {
  if (kind === Kind.INPUT_VALUE_DEFINITION) return outer?.kind === Kind.FIELD_DEFINITION;
  return kind === Kind.FIELD_DEFINITION || typeKinds.has(kind);
}

type Visit = (
  coordinate: string,
  directives: readonly ConstDirectiveNode[],
) => readonly ConstDirectiveNode[];

function places(document: DocumentNode): Placed[] {
  const found: Placed[] = [];
  mapPlaces(document, (coordinate, directives) => {
    if (directives.length > 0) found.push({ coordinate, directives });
    return directives;
  });
  return found;
}

const typeKinds = new Set<string>([
  Kind.OBJECT_TYPE_DEFINITION,
  Kind.OBJECT_TYPE_EXTENSION,
  Kind.INTERFACE_TYPE_DEFINITION,
  Kind.INTERFACE_TYPE_EXTENSION,
  Kind.SCALAR_TYPE_DEFINITION,
  Kind.SCALAR_TYPE_EXTENSION,
  Kind.ENUM_TYPE_DEFINITION,
  Kind.ENUM_TYPE_EXTENSION,
]);

interface TypeNode {
  readonly kind: string;
  readonly name: { readonly value: string };
  readonly directives?: readonly ConstDirectiveNode[];
  readonly fields?: readonly FieldDefinitionNode[];
}

function mapPlaces(document: DocumentNode, visit: Visit): DocumentNode {
  const definitions = document.definitions.map((definition) => {
    if (!typeKinds.has(definition.kind)) return definition;
    const type = definition as TypeNode;
    const name = type.name.value;
    return {
      ...type,
      directives: visit(name, type.directives ?? []),
      ...(type.fields !== undefined && {
        fields: type.fields.map((field) => mapField(name, field, visit)),
      }),
    };
  });
  return { ...document, definitions: definitions as DocumentNode['definitions'] };
}

function mapField(type: string, field: FieldDefinitionNode, visit: Visit): FieldDefinitionNode {
  const name = `${type}.${field.name.value}`;
  const mapArgument = (argument: InputValueDefinitionNode) => ({
    ...argument,
    directives: visit(`${name}(${argument.name.value}:)`, argument.directives ?? []),
  });
  return {
    ...field,
    directives: visit(name, field.directives ?? []),
    ...(field.arguments !== undefined && { arguments: field.arguments.map(mapArgument) }),
  } as FieldDefinitionNode;
}
