import { type Denial, denial, messageOf } from '@countersign/base';
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type OperationDefinitionNode,
  parse,
  specifiedRules,
  TypeInfo,
  validate,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import type { RouterLimits } from '../config/router-config.ts';
import { deferConditions } from '../defer/expand-document.ts';
import type { HeldPlanner } from '../defer/held-planner.ts';
import { type DeferredOperation, planDeferred } from '../defer/plan-deferred.ts';
import type { Variables } from '../execute/project-data.ts';
import type { ResponseError } from '../execute/response-error.ts';
import type { Plan } from '../plan/plan.ts';
import { isPassing } from '../plan/planner-process.ts';
import type { ProgressiveOverride, Rollout } from '../plan/progressive-override.ts';
import type { QueryPlanner } from '../plan/query-planner.ts';
import type { AccessRule } from '../supergraph/access-rules.ts';
import { type AccessRules, judgeRule } from './access.ts';
import type { Caller } from './caller.ts';
import { judgeDocument, judgeLength } from './document-limits.ts';
import { LruCache } from './lru-cache.ts';
import type { PlannerAliases } from './planner-alias.ts';
import { introspectionDocument, isPlannerDocument, plannerDocument } from './planner-document.ts';
import { Projection } from './projection.ts';
import { rulesMet } from './rules-met.ts';
import { judgeSelections } from './selection-limits.ts';

/** An operation, ready to run for callers who are refused the same of it. */
export interface PreparedOperation {
  readonly ok: true;
  readonly kind: 'query' | 'mutation' | 'subscription';
  readonly name: string | undefined;
  readonly operation: OperationDefinitionNode;
  /** Undefined: nothing is to be fetched. */
  readonly plan: Plan | undefined;
  readonly projection: Projection;
  readonly introspection: DocumentNode | undefined;
  /** Of one that may be answered in parts: how, for these values of its variables. Undefined: it is not. */
  readonly deferral: ((variables: Variables) => Promise<DeferredOperation> | undefined) | undefined;
  readonly isRefused: (coordinate: string, field: FieldNode) => boolean;
  /** Why fields of it are refused to the caller. */
  readonly refusals: readonly Denial[];
  /** Of them, those that it meets with these values of its variables. */
  readonly refusalsMet: (variables: Variables) => readonly Denial[];
}

/** A refusal with the errors that the caller is told. */
export interface RefusedOperation extends Denial {
  readonly errors: readonly ResponseError[];
}

export interface OperationSurroundings {
  readonly schema: GraphQLSchema;
  readonly planner: QueryPlanner;
  readonly held: HeldPlanner;
  readonly access: AccessRules;
  readonly override: ProgressiveOverride;
  readonly aliases: PlannerAliases;
  readonly limits: RouterLimits;
  readonly introspection: boolean;
}

/** What was found out about a document once, whoever sends it. */
interface ReadOperation {
  readonly ok: true;
  readonly text: string;
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Every rule that its fields can meet. */
  readonly rules: readonly AccessRule[];
  readonly introspection: DocumentNode | undefined;
  readonly isPlannerText: boolean;
  /** By which of its rules refuse, and how far fields have moved. */
  readonly variants: Map<string, Promise<PreparedOperation | RefusedOperation>>;
}

/** Documents that are remembered, refused ones included. */
const maxRemembered = 2000;
const maxRememberedBytes = 256 * 1024 * 1024;
/** What a tree or a plan takes, for each character of the text and beside them; more than most do. */
const [bytesPerChar, bytesBeside] = [150, 2048];
/** Errors of a document that its sender is told; each costs more than the rest of its validation. */
const maxTold = 5;
/** Sets of refusals and of moved fields of one document. */
const maxVariants = 64;

/**
 * From a document to an operation that can run: limits, parse, validate, access, plan, projection. All but the first is
 * done once for each text and remembered.
 */
export class OperationPreparer {
  readonly #around: OperationSurroundings;
  readonly #read = new LruCache<ReadOperation | RefusedOperation>(
    maxRemembered,
    maxRememberedBytes,
  );

  constructor(around: OperationSurroundings) {
    this.#around = around;
  }

  get aliases(): PlannerAliases {
    return this.#around.aliases;
  }

  prepare(
    text: string,
    operationName: string | undefined,
    caller: Caller,
  ): Promise<PreparedOperation | RefusedOperation> | RefusedOperation {
    const long = judgeLength(text, this.#around.limits);
    if (long !== undefined) return refused(long);
    const key = `${operationName ?? ''}\n${text}`;
    let read = this.#read.get(key);
    if (read === undefined) {
      // 1. limits, before any work; not remembered, since telling again is cheaper
      const hostile = judgeDocument(text, this.#around.limits);
      if (hostile !== undefined) return refused(hostile);
      // 2. parse, validate, and what it may meet
      read = this.#readOperation(text, operationName);
      // Of a refused one its text is kept, and what the caller is told.
      this.#read.set(key, read, read.ok ? weightOf(key, read) : 4 * key.length + bytesBeside);
    }
    if (!read.ok) return read;
    // 3. access: what of it is not for this caller
    const refusals = read.rules.map((rule) => judgeRule(rule, caller));
    const refusedOnes = refusals.map((each) => (each === undefined ? '0' : '1')).join('');
    const rollout = this.#around.override.next();
    const signature = `${rollout.key} ${refusedOnes}`;
    // 4. plan and projection for that
    const known = read.variants.get(signature);
    if (known !== undefined) return known;
    if (read.variants.size >= maxVariants) read.variants.clear();
    const { rules } = read;
    const refusedRules = new Map<AccessRule, Denial>();
    rules.forEach((rule, i) => {
      const refusal = refusals[i];
      if (refusal !== undefined) refusedRules.set(rule, refusal);
    });
    const made = this.#prepareFor(read, rollout, refusedRules);
    read.variants.set(signature, made);
    this.#read.set(key, read, weightOf(key, read));
    // What ended the planner is never asked of it again; what only came at a bad time is.
    const forget = () => void read.variants.delete(signature);
    made.then((result) => {
      if (!result.ok && result.fields.isPassing === true) forget();
    }, forget);
    return made;
  }

  #readOperation(
    text: string,
    operationName: string | undefined,
  ): ReadOperation | RefusedOperation {
    const { schema, access, limits } = this.#around;
    let document: DocumentNode;
    try {
      document = parse(text, { maxTokens: limits.max_tokens });
    } catch (thrown) {
      return invalid([thrown as GraphQLError]);
    }
    const operation = getOperationAST(document, operationName);
    if (operation === null || operation === undefined)
      return unknownOperation(document, operationName);
    const fragments = fragmentsOf(document);
    const costly = judgeSelections(operation, fragments, schema, limits);
    if (costly !== undefined) return refused(costly);
    const isShown = this.#around.introspection;
    const rules = isShown ? specifiedRules : [...specifiedRules, NoSchemaIntrospectionCustomRule];
    // Suggestions would give the names away one by one.
    const told = { maxErrors: maxTold, hideSuggestions: !isShown };
    const errors = validate(schema, document, rules, told);
    if (errors.length > 0) return invalid(errors);
    const reserved = reservedKey(document);
    if (reserved !== undefined) return refused(reserved);
    return {
      ok: true,
      ...{ text, document, operation, fragments },
      rules: access.isEmpty ? [] : rulesOf(document, schema, access),
      introspection: introspectionDocument(document, operation, fragments),
      isPlannerText: isPlannerDocument(document, this.#around.aliases),
      variants: new Map(),
    };
  }

  async #prepareFor(
    read: ReadOperation,
    rollout: Rollout,
    refusedRules: ReadonlyMap<AccessRule, Denial>,
  ): Promise<PreparedOperation | RefusedOperation> {
    const { schema, planner, access, aliases } = this.#around;
    const { document, operation, fragments } = read;
    const isRefusedOn = (typeName: string, field: FieldNode) =>
      refusedRules.size > 0 && access.of(typeName, field).some((rule) => refusedRules.has(rule));
    // What no type that stands there would give is not fetched.
    const isDropped = (typeName: string, field: FieldNode) => {
      if (refusedRules.size === 0) return false;
      if (isRefusedOn(typeName, field)) return true;
      const possible = access.possibleTypes(typeName);
      return possible.length > 0 && possible.every((each) => isRefusedOn(each, field));
    };
    const text =
      read.isPlannerText && refusedRules.size === 0
        ? read.text
        : plannerDocument(document, operation, schema, {
            ...{ isDropped, aliases },
            asksTypes: refusedRules.size > 0,
          });
    const isRefused = (coordinate: string, field: FieldNode) => {
      // Of an interface or union: a value that did not say its type may be any of them.
      const typeName = coordinate.slice(0, coordinate.indexOf('.'));
      const types = [typeName, ...access.possibleTypes(typeName)];
      return refusedRules.size > 0 && types.some((each) => isRefusedOn(each, field));
    };
    const root = schema.getRootType(operation.operation);
    if (root === null || root === undefined) return refused(noRoot(operation.operation));
    try {
      const name = operation.name?.value;
      return {
        ok: true,
        ...{ kind: operation.operation, name, operation },
        refusals: [...refusedRules.values()],
        refusalsMet(variables) {
          const met = rulesMet(operation, fragments, variables, { schema, access });
          return [...refusedRules].flatMap(([rule, refusal]) => (met.has(rule) ? [refusal] : []));
        },
        plan: text === undefined ? undefined : await planner.plan(text, name, rollout),
        projection: new Projection(root, [{ set: operation.selectionSet, conditions: [] }], {
          ...{ schema, aliases, fragments, isRefused },
        }),
        deferral: this.#deferral(read, rollout, isDropped),
        isRefused,
        introspection: read.introspection,
      };
    } catch (thrown) {
      const fields = { isPassing: isPassing(thrown) };
      const reason = `no plan for it: ${messageOf(thrown)}`;
      const unplanned = denial('ERR_GRAPHQL_DOCUMENT', reason, fields);
      const now = fields.isPassing ? ' now, try again' : '';
      return {
        ...unplanned,
        errors: [errorOf(unplanned, `the operation cannot be planned${now}`)],
      };
    }
  }

  /** Remembered by which of its fragments are deferred. */
  #deferral(
    { operation, fragments }: ReadOperation,
    rollout: Rollout,
    isDropped: (typeName: string, field: FieldNode) => boolean,
  ): PreparedOperation['deferral'] {
    if (operation.operation === 'subscription') return undefined;
    const { isDeferred, variables: conditions } = deferConditions(operation, fragments);
    if (!isDeferred) return undefined;
    const { schema, held, aliases } = this.#around;
    const known = new Map<string, Promise<DeferredOperation>>();
    return (variables) => {
      const key = conditions.map((name) => (variables[name] === true ? '1' : '0')).join('');
      const before = known.get(key);
      if (before !== undefined) return before;
      if (known.size >= maxDeferrals) known.clear();
      const made = held.open().then(({ planner, entities }) =>
        planDeferred(operation, fragments, variables, {
          ...{ schema, planner, entities, isDropped, rollout, aliases },
        }),
      );
      known.set(key, made);
      made.catch((thrown) => {
        if (isPassing(thrown)) known.delete(key);
      });
      return made;
    };
  }
}

/** Values of the variables by which one document's fragments are deferred. */
const maxDeferrals = 4;

/** In bytes, roughly: each set of refusals has a plan and a projection of its own, and deferred fragments further ones. */
function weightOf(key: string, { operation, fragments, variants }: ReadOperation): number {
  const isDeferred = deferConditions(operation, fragments).isDeferred;
  const plans = variants.size * (isDeferred ? 1 + maxDeferrals : 1);
  return (1 + plans) * (bytesBeside + bytesPerChar * key.length);
}

function rulesOf(
  document: DocumentNode,
  schema: GraphQLSchema,
  access: AccessRules,
): readonly AccessRule[] {
  const found = new Set<AccessRule>();
  const typeInfo = new TypeInfo(schema);
  visit(
    document,
    visitWithTypeInfo(typeInfo, {
      Field(node) {
        const parent = typeInfo.getParentType();
        if (parent === undefined || parent === null) return;
        for (const rule of access.reachable(parent.name, node)) found.add(rule);
      },
    }),
  );
  return [...found];
}

function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((each) =>
      each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each] as const] : [],
    ),
  );
}

/** Answers are plain objects, one key of which would be their prototype; another says their type, which rules go by. */
function reservedKey(document: DocumentNode): Denial | undefined {
  let found: string | undefined;
  visit(document, {
    Field(node) {
      const alias = node.alias?.value;
      if (alias === '__proto__' || (alias === '__typename' && node.name.value !== alias)) {
        found = alias;
      }
    },
  });
  if (found === undefined) return undefined;
  return denial('ERR_GRAPHQL_DOCUMENT', `the alias "${found}" is reserved`);
}

function unknownOperation(document: DocumentNode, name: string | undefined): RefusedOperation {
  const names = document.definitions.flatMap((each) =>
    each.kind === Kind.OPERATION_DEFINITION ? [each.name?.value ?? 'an unnamed one'] : [],
  );
  if (names.length === 0) {
    return refused(denial('ERR_GRAPHQL_DOCUMENT', 'the document has no operation'));
  }
  const asked =
    name === undefined ? 'no operationName is given' : `no operation is named "${name}"`;
  const has = names.slice(0, 10).join('", "');
  return refused(denial('ERR_GRAPHQL_DOCUMENT', `${asked}, the document has "${has}"`));
}

function noRoot(kind: string): Denial {
  return denial('ERR_GRAPHQL_DOCUMENT', `the schema has no ${kind}`);
}

function invalid(errors: readonly GraphQLError[]): RefusedOperation {
  const [first] = errors;
  return {
    ...denial('ERR_GRAPHQL_DOCUMENT', first?.message ?? 'invalid document'),
    errors: errors.map((error) => ({
      message: error.message,
      locations: error.locations?.map(({ line, column }) => ({ line, column })),
      extensions: { code: codeOf(error) },
    })),
  };
}

function codeOf({ message }: GraphQLError): string {
  const isIntrospection = message.startsWith('GraphQL introspection has been disabled');
  return isIntrospection ? 'ERR_GRAPHQL_INTROSPECTION' : 'ERR_GRAPHQL_DOCUMENT';
}

export function refused(reason: Denial): RefusedOperation {
  return { ...reason, errors: [errorOf(reason, reason.detail)] };
}

function errorOf({ code }: Denial, message: string): ResponseError {
  return { message, extensions: { code } };
}
