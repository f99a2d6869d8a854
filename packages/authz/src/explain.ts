import type { Denial } from '@countersign/base';
import {
  type AuthzQuestion,
  authorize,
  externalOf,
  isUnaskedIn,
  type Permit,
  rulesFor,
} from './authorize.ts';
import {
  closestRule,
  explainRule,
  formatClause,
  formatRule,
  type RuleExplanation,
} from './explain-rule.ts';
import { judge } from './judge.ts';
import { factsOf, type QuestionFacts } from './question-facts.ts';
import { otherReadings } from './request/path-readings.ts';
import type { RuleFacts } from './rules/rule-facts.ts';
import type { ActionRules, DroppedRule, RuleSet } from './rules/rule-set.ts';

export interface Explanation extends RulesExplanation {
  /** What `authorize` answers. */
  readonly answer: Permit | Denial;
}

export interface RulesExplanation {
  /** Every rule in the order of asking: CUSTOM, DENY, ALLOW; empty where the path cannot be judged. */
  readonly rules: readonly RuleExplanation[];
  /** Of the ALLOW rules, the one nearest to applying; undefined where there is none. */
  readonly closest: RuleExplanation | undefined;
  /** Rules, or fields of rules, that this protocol cannot have. */
  readonly dropped: readonly DroppedRule[];
}

/** Clause by clause why each rule does or does not apply to a question. For people; `authorize` alone decides. */
export function explain(rules: RuleSet, question: AuthzQuestion): Explanation {
  const answer = authorize(rules, question);
  const facts = factsOf(question, rules.mesh);
  if ('ok' in facts) return { answer, rules: [], closest: undefined, dropped: [] };
  const asked = rulesFor(rules, question);
  const decisive = answer.ok ? facts : refusedReading(asked, question, facts);
  return { answer, ...explainFacts(asked, decisive, isUnaskedIn(question)) };
}

/** As the path is written, or the first other reading of it that is refused where the written one is not. */
function refusedReading(
  rules: ActionRules,
  question: AuthzQuestion,
  facts: QuestionFacts,
): QuestionFacts {
  const isRefused = (read: QuestionFacts) =>
    !judge(rules, read, isUnaskedIn(question), externalOf(question)).ok;
  if (isRefused(facts)) return facts;
  const others = otherReadings(facts.request?.path ?? '').map((path) => facts.readAs(path));
  return others.find(isRefused) ?? facts;
}

export function explainFacts(
  rules: ActionRules,
  facts: RuleFacts,
  isUnasked: boolean,
): RulesExplanation {
  const asked = [...rules.customs, ...rules.denies, ...rules.allows];
  return {
    rules: asked.map((rule) => explainRule(rule, facts, isUnasked)),
    closest: closestRule(rules.allows, facts, isUnasked),
    dropped: rules.dropped,
  };
}

/** Lines for a terminal: the answer, then each rule with what keeps it from applying. */
export function formatExplanation(explanation: Explanation): string {
  const { answer } = explanation;
  const verdict = answer.ok
    ? `permitted${answer.policy === undefined ? ', there is no ALLOW policy' : ` by policy ${answer.policy} rules[${answer.rule}]`}`
    : `refused, ${answer.code}: ${answer.detail}`;
  return [verdict, ...formatRules(explanation)].join('\n');
}

/** Each rule with its clauses, then what was left out. */
export function formatRules(explained: RulesExplanation): string[] {
  return [...explained.rules.flatMap(linesOf), ...explained.dropped.map(droppedLine)];
}

function linesOf(rule: RuleExplanation): string[] {
  const head = `${rule.action} ${formatRule(rule)} ${rule.applies ? 'applies' : 'does not apply'}`;
  return [
    head,
    ...rule.clauses.map((clause) => `  ${clause.applies ? 'yes' : 'no '} ${formatClause(clause)}`),
  ];
}

/** Such as `ALLOW policy prod/web rules[0] (…) is left out whole: operation.paths, only HTTP has it`. */
export function droppedLine({ rule, isWhole, fields }: DroppedRule): string {
  const where = formatRule({ ...rule, rule: rule.index });
  const names = [...new Set(fields.map(({ name, reason }) => `${name}, ${reason}`))].join('; ');
  return `${rule.action} ${where} ${isWhole ? 'is left out whole' : 'is asked without'}: ${names}`;
}
