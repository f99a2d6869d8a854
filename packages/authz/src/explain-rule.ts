import type { Position } from '@countersign/config';
import type { RuleOperation } from './authorization-policy.ts';
import {
  type CompiledOperation,
  type CompiledRule,
  methodApplies,
  pathApplies,
  type RuleFacts,
  sourceApplies,
} from './rule-set.ts';

/** Why one rule does or does not apply, both sides of each comparison. */
export interface RuleExplanation {
  /** `namespace/name`. */
  readonly policy: string;
  /** From 0, as in `spec.rules[0]`. */
  readonly rule: number;
  readonly action: 'ALLOW' | 'DENY';
  readonly file: string;
  readonly position: Position;
  readonly applies: boolean;
  /** Of several operations the one that came closest. Empty for a rule that applies to all. */
  readonly clauses: readonly ClauseExplanation[];
}

export interface ClauseExplanation {
  readonly field: 'source.principals' | 'operation.methods' | 'operation.paths';
  readonly applies: boolean;
  /** Patterns as written. */
  readonly expected: readonly string[];
  /** What was asked about; of a path every reading, the one that is forwarded first. Empty: there is none. */
  readonly found: readonly string[];
}

export function explainRule(rule: CompiledRule, facts: RuleFacts): RuleExplanation {
  const clauses = [...sourceClauses(rule, facts), ...operationClauses(rule, facts)];
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
 * The rule that fewest clauses keep from applying; of equals the one of which most holds, then one that names the peer,
 * then the first.
 */
export function closestRule(
  rules: readonly CompiledRule[],
  facts: RuleFacts,
): RuleExplanation | undefined {
  let closest: RuleExplanation | undefined;
  for (const rule of rules) {
    const explained = explainRule(rule, facts);
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
  const found = clause.found.length === 0 ? 'none' : listOf(clause.found, ' read also as ');
  return `${clause.field} is ${listOf(clause.expected, ' or ')}, found ${found}`;
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
    knowsPeer: holding.some((clause) => clause.field === 'source.principals'),
  };
}

function sourceClauses(rule: CompiledRule, facts: RuleFacts): ClauseExplanation[] {
  if (rule.sources === undefined) return [];
  return [
    {
      field: 'source.principals',
      applies: rule.sources.some((source) => sourceApplies(source, facts)),
      expected: (rule.written.from ?? []).flatMap(({ principals }) =>
        principals.map(({ written }) => written),
      ),
      found: facts.principal === undefined ? [] : [facts.principal],
    },
  ];
}

function operationClauses(rule: CompiledRule, facts: RuleFacts): ClauseExplanation[] {
  let closest: ClauseExplanation[] | undefined;
  for (const [index, operation] of (rule.operations ?? []).entries()) {
    const clauses = clausesOf(rule, operation, rule.written.to?.[index], facts);
    if (closest === undefined || missingIn(clauses) < missingIn(closest)) closest = clauses;
  }
  return closest ?? [];
}

function clausesOf(
  rule: CompiledRule,
  operation: CompiledOperation,
  written: RuleOperation | undefined,
  facts: RuleFacts,
): ClauseExplanation[] {
  const { request } = facts;
  // With no request yet, see ruleApplies.
  const unasked = rule.action === 'ALLOW';
  const clauses: ClauseExplanation[] = [];
  if (written?.methods !== undefined) {
    clauses.push({
      field: 'operation.methods',
      applies: request === undefined ? unasked : methodApplies(operation, request.method),
      expected: written.methods.map((pattern) => pattern.written),
      found: request === undefined ? [] : [request.method],
    });
  }
  if (written?.paths !== undefined) {
    clauses.push({
      field: 'operation.paths',
      applies: request === undefined ? unasked : pathApplies(operation, rule.action, request.path),
      expected: written.paths.map((pattern) => pattern.written),
      found: request === undefined ? [] : [request.path.base, ...request.path.others],
    });
  }
  return clauses;
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
