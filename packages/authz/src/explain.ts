import type { Denial } from '@countersign/base';
import { type AuthzQuestion, authorize, type Permit, ruleFactsOf } from './authorize.ts';
import {
  closestRule,
  explainRule,
  formatClause,
  formatRule,
  type RuleExplanation,
} from './explain-rule.ts';
import { readPath } from './request-path.ts';
import type { RuleSet } from './rule-set.ts';

export interface Explanation {
  /** What `authorize` answers. */
  readonly answer: Permit | Denial;
  /** Every rule in the order of asking, DENY first; empty where the path cannot be judged. */
  readonly rules: readonly RuleExplanation[];
  /** Of the ALLOW rules, the one nearest to applying; undefined where there is none. */
  readonly closest: RuleExplanation | undefined;
}

/** Clause by clause why each rule does or does not apply to a question. For people; `authorize` alone decides. */
export function explain(rules: RuleSet, question: AuthzQuestion): Explanation {
  const answer = authorize(rules, question);
  const path = question.request === undefined ? undefined : readPath(question.request.path);
  if (typeof path === 'string') return { answer, rules: [], closest: undefined };
  const facts = ruleFactsOf(question, path);
  return {
    answer,
    rules: [...rules.denies, ...rules.allows].map((rule) => explainRule(rule, facts)),
    closest: closestRule(rules.allows, facts),
  };
}

/** Lines for a terminal: the answer, then each rule with what keeps it from applying. */
export function formatExplanation(explanation: Explanation): string {
  const { answer } = explanation;
  const verdict = answer.ok
    ? `permitted${answer.policy === undefined ? ', there is no ALLOW policy' : ` by policy ${answer.policy} rules[${answer.rule}]`}`
    : `refused, ${answer.code}: ${answer.detail}`;
  return [verdict, ...explanation.rules.flatMap(linesOf)].join('\n');
}

function linesOf(rule: RuleExplanation): string[] {
  const head = `${rule.action} ${formatRule(rule)} ${rule.applies ? 'applies' : 'does not apply'}`;
  return [
    head,
    ...rule.clauses.map((clause) => `  ${clause.applies ? 'yes' : 'no '} ${formatClause(clause)}`),
  ];
}
