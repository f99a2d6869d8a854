import type { Position } from '@countersign/config';
import type { PolicyAction } from './policy/authorization-policy.ts';
import type { Clause } from './rules/rule-clauses.ts';
import type { RuleFacts } from './rules/rule-facts.ts';
import { type CompiledRule, clauseHolds } from './rules/rule-set.ts';

/** Why one rule does or does not apply, both sides of each comparison. */
export interface RuleExplanation {
  /** `namespace/name`. */
  readonly policy: string;
  /** From 0, as in `spec.rules[0]`. */
  readonly rule: number;
  readonly action: PolicyAction;
  readonly file: string;
  readonly position: Position;
  readonly applies: boolean;
  /** Of several sources and operations those that came closest. Empty for a rule that applies to all. */
  readonly clauses: readonly ClauseExplanation[];
}

export interface ClauseExplanation {
  /** `source.principals`, `operation.paths`, `when request.headers[x]`. */
  readonly field: string;
  /** The values are those that must not be: `not…`. */
  readonly isNegated: boolean;
  readonly applies: boolean;
  /** Values as written. */
  readonly expected: readonly string[];
  /** What was asked about. Empty: there is none. */
  readonly found: readonly string[];
}

/** @param isUnasked there is no request yet */
export function explainRule(
  rule: CompiledRule,
  facts: RuleFacts,
  isUnasked: boolean,
): RuleExplanation {
  const unasked = isUnasked ? rule.action === 'ALLOW' : undefined;
  const told = (clauses: readonly Clause[]) =>
    clauses.map((clause) => explainClause(clause, facts, unasked));
  const clauses = [
    ...closestOf(rule.sources.map(told)),
    ...told(rule.sourceConditions),
    ...closestOf(rule.operations.map(told)),
    ...told(rule.operationConditions),
  ];
  return {
    policy: rule.policy,
    rule: rule.index,
    action: rule.action,
    file: rule.file,
    position: rule.position,
    applies: clauses.every((clause) => clause.applies),
    clauses,
  };
}

/**
 * The rule that fewest clauses keep from applying; of equals the one of which most holds, then one that knows the peer,
 * then the first.
 */
export function closestRule(
  rules: readonly CompiledRule[],
  facts: RuleFacts,
  isUnasked: boolean,
): RuleExplanation | undefined {
  let closest: RuleExplanation | undefined;
  for (const rule of rules) {
    const explained = explainRule(rule, facts, isUnasked);
    if (closest === undefined || isCloser(explained, closest)) closest = explained;
  }
  return closest;
}

/** Such as `policy prod/web rules[0] (policy.yaml:9:5)`. */
export function formatRule(rule: Pick<RuleExplanation, 'policy' | 'rule' | 'file' | 'position'>) {
  const { line, column } = rule.position;
  return `policy ${rule.policy} rules[${rule.rule}] (${rule.file}:${line}:${column})`;
}

/** Such as `operation.paths is "/api/*", found "/admin"`. */
export function formatClause(clause: ClauseExplanation): string {
  const found = clause.found.length === 0 ? 'none' : listOf(clause.found, ' and ');
  const verb = clause.isNegated ? 'is not' : 'is';
  return `${clause.field} ${verb} ${listOf(clause.expected, ' or ')}, found ${found}`;
}

function explainClause(
  clause: Clause,
  facts: RuleFacts,
  unasked: boolean | undefined,
): ClauseExplanation {
  return {
    field: clause.field.name,
    isNegated: clause.isNegated,
    applies: clauseHolds(clause, facts, unasked),
    expected: clause.written,
    found: clause.field.found(facts),
  };
}

function closestOf(
  alternatives: readonly (readonly ClauseExplanation[])[],
): readonly ClauseExplanation[] {
  const [first = [], ...others] = alternatives;
  return others.reduce((best, each) => (missingIn(each) < missingIn(best) ? each : best), first);
}

function isCloser(one: RuleExplanation, other: RuleExplanation): boolean {
  const [a, b] = [differences(one), differences(other)];
  if (a.missing !== b.missing) return a.missing < b.missing;
  if (a.holding !== b.holding) return a.holding > b.holding;
  return a.knowsPeer && !b.knowsPeer;
}

function differences({ clauses }: RuleExplanation) {
  const holding = clauses.filter((clause) => clause.applies);
  return {
    missing: clauses.length - holding.length,
    holding: holding.length,
    knowsPeer: holding.some(({ field }) => field.startsWith('source.')),
  };
}

function missingIn(clauses: readonly ClauseExplanation[]): number {
  return clauses.filter((clause) => !clause.applies).length;
}

const maxListed = 5;

/** Quoted and cut, since a stranger chose the length of a path, and a rule may name hundreds. */
function listOf(texts: readonly string[], joint: string): string {
  const shown = texts
    .slice(0, maxListed)
    .map((text) => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text));
  const more = texts.length - shown.length;
  return more > 0 ? `${shown.join(joint)} (and ${more} more)` : shown.join(joint);
}
