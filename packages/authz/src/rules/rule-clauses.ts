import type { Permission, Principal } from '../envoy/rbac.ts';
import type { AuthorizationRule, Condition, FieldValues } from '../policy/authorization-policy.ts';
import type { RuleFacts } from './rule-facts.ts';
import type { MatchesFacts, RuleContext, RuleField } from './rule-field.ts';
import { conditionField, operationFields, sourceFields } from './rule-fields.ts';

/** One comparison of a rule: a field with its values, or with those that it must not have. */
export interface Clause<Node extends Principal | Permission = Principal | Permission> {
  readonly field: RuleField<Node>;
  readonly isNegated: boolean;
  readonly written: readonly string[];
  /** Of the values, as Envoy is told; the negation is not in it. */
  readonly node: Node;
  readonly holds: MatchesFacts;
}

/** A rule as alternatives of clauses: one source and one operation have to hold whole, and every condition. */
export interface RuleClauses {
  readonly sources: readonly (readonly Clause<Principal>[])[];
  readonly operations: readonly (readonly Clause<Permission>[])[];
  readonly sourceConditions: readonly Clause<Principal>[];
  readonly operationConditions: readonly Clause<Permission>[];
}

/** What keeps a field from being told: TCP has none of it, or its key is no key. */
export interface DroppedField {
  readonly name: string;
  readonly reason: string;
}

export type RuleReading =
  | { readonly ok: true; readonly clauses: RuleClauses; readonly dropped: readonly DroppedField[] }
  | { readonly ok: false; readonly dropped: readonly DroppedField[] };

/**
 * A rule in clauses. What cannot be told drops an ALLOW rule whole, so that it allows less; it drops only itself from
 * a rule of another action, so that it denies more.
 */
export function readClauses(
  rule: AuthorizationRule,
  options: {
    readonly isAllow: boolean;
    readonly protocol: 'http' | 'tcp';
    readonly context: RuleContext;
  },
): RuleReading {
  const dropped: DroppedField[] = [];
  const { protocol, context } = options;

  const clausesOf = <Node extends Principal | Permission>(
    field: RuleField<Node>,
    values: readonly string[],
    notValues: readonly string[],
  ): Clause<Node>[] => {
    if (values.length === 0 && notValues.length === 0) return [];
    if (field.isHttpOnly && protocol === 'tcp') {
      dropped.push({ name: field.name, reason: 'only HTTP has it' });
      return [];
    }
    const written = [
      clauseOf(field, values, false, context),
      clauseOf(field, notValues, true, context),
    ];
    return written.filter((clause) => clause !== undefined);
  };
  const alternativesOf = <Node extends Principal | Permission>(
    rows: readonly { key: string; notKey: string; field: RuleField<Node> }[],
    written: readonly FieldValues[] | undefined,
  ) =>
    (written ?? [{}]).map((values) =>
      rows.flatMap(({ key, notKey, field }) =>
        clausesOf(field, values[key] ?? [], values[notKey] ?? []),
      ),
    );
  const conditions: RuleClauses = {
    sources: alternativesOf<Principal>(sourceFields, rule.from),
    operations: alternativesOf<Permission>(operationFields, rule.to),
    ...readConditions(rule.when, clausesOf, dropped),
  };

  if (options.isAllow && dropped.length > 0) return { ok: false, dropped };
  return { ok: true, clauses: conditions, dropped };
}

type ClausesOf = <Node extends Principal | Permission>(
  field: RuleField<Node>,
  values: readonly string[],
  notValues: readonly string[],
) => Clause<Node>[];

function readConditions(
  when: readonly Condition[],
  clausesOf: ClausesOf,
  dropped: DroppedField[],
): Pick<RuleClauses, 'sourceConditions' | 'operationConditions'> {
  const sourceConditions: Clause<Principal>[] = [];
  const operationConditions: Clause<Permission>[] = [];
  for (const { key, values, notValues } of when) {
    const condition = conditionField(key);
    if (typeof condition === 'string') dropped.push({ name: `when ${key}`, reason: condition });
    else if (condition.side === 'source') {
      sourceConditions.push(...clausesOf(condition.field, values, notValues));
    } else operationConditions.push(...clausesOf(condition.field, values, notValues));
  }
  return { sourceConditions, operationConditions };
}

function clauseOf<Node extends Principal | Permission>(
  field: RuleField<Node>,
  values: readonly string[],
  isNegated: boolean,
  context: RuleContext,
): Clause<Node> | undefined {
  if (values.length === 0) return undefined;
  const node = field.envoy(values, context);
  if (node === undefined) return undefined;
  const matches = field.compile(values, context);
  const holds = isNegated ? (facts: RuleFacts) => !matches(facts) : matches;
  return { field, isNegated, written: values, node, holds };
}
