import { type Denial, denial } from '@countersign/base';
import { formatKeyKind } from '@countersign/x509';
import { formatNames } from '../certificate-names.ts';
import { quotedList } from '../dns-name.ts';
import type { ConditionAnswer, ConditionFacts } from './condition.ts';
import { type GivenName, givenNames, type NamePattern } from './name-pattern.ts';
import type { NameRule, RuleQuestion } from './name-rule.ts';
import { type ClauseAnswer, explainWho, isAbout } from './who.ts';

/** Why a rule does not allow a name, clause by clause. */
export interface RuleAnswer {
  readonly rule: string;
  readonly clauses: readonly ClauseAnswer[];
}

/**
 * Whether the rules let the requester have every name. A rule speaks where it is about the requester and its condition
 * holds. A name that some rule denies is refused; where any rule of the file allows, each name needs one that allows it.
 * A condition that fails to answer denies, and never allows. A refusal for each name.
 *
 * Denials: ERR_POLICY_RULE with the rule that denies, or the one that comes closest to allowing.
 */
export function* judgeRules(
  rules: readonly NameRule[],
  question: RuleQuestion,
): Generator<Denial, void, void> {
  if (rules.length === 0) return;
  const given = givenNames(question.names);
  const facts = conditionFacts(question);
  const asked = rules.map((rule) => ({ rule, answer: askRule(rule, question, facts) }));
  const denying = asked.filter(({ answer }) => answer === true || typeof answer === 'object');
  for (const name of given) {
    const refused = deniedBy(denying, name);
    if (refused !== undefined) yield refused;
  }
  const allowing = asked.filter(({ rule }) => rule.allow !== undefined);
  if (allowing.length === 0) return;
  const speaking = allowing.filter(({ answer }) => answer === true || answer === 'unknown');
  for (const name of given) {
    if (speaking.some(({ rule }) => isAmong(rule.allow ?? [], name))) continue;
    yield allowedByNone(name, rules, question, facts);
  }
}

/** `false`: it does not speak. `unknown` and `failed` are its condition's. */
function askRule(rule: NameRule, question: RuleQuestion, facts: ConditionFacts): ConditionAnswer {
  if (!isAbout(rule, question.requester)) return false;
  return rule.when?.ask(facts) ?? true;
}

/** By the first of the file that does. */
function deniedBy(
  denying: readonly { readonly rule: NameRule }[],
  name: GivenName,
): Denial | undefined {
  for (const { rule } of denying) {
    const pattern = rule.deny?.find((each) => each.matches(name));
    if (pattern === undefined) continue;
    const detail = `rule "${rule.name}" denies "${pattern.written}", "${name.text}" is asked for`;
    const fields = { name: name.text, rule: rule.name, denies: pattern.written };
    return denial('ERR_POLICY_RULE', detail, fields);
  }
  return undefined;
}

function allowedByNone(
  name: GivenName,
  rules: readonly NameRule[],
  question: RuleQuestion,
  facts: ConditionFacts,
): Denial {
  const answers = rules
    .filter((rule) => rule.allow !== undefined)
    .map((rule) => explainRule(rule, name, question, facts));
  // The fewest clauses in the way; of those with as many, the first of the file.
  const [closest] = answers.toSorted((a, b) => failing(a).length - failing(b).length);
  const why =
    closest === undefined
      ? ''
      : failing(closest)
          .map(({ detail }) => detail)
          .join(', and ');
  const detail = `"${name.text}" is allowed by no rule, the closest is "${closest?.rule}": ${why}`;
  return denial('ERR_POLICY_RULE', detail, {
    name: name.text,
    rule: closest?.rule,
    clauses: closest?.clauses,
  });
}

function explainRule(
  rule: NameRule,
  name: GivenName,
  question: RuleQuestion,
  facts: ConditionFacts,
): RuleAnswer {
  const clauses = explainWho(rule, question.requester);
  if (rule.when !== undefined) {
    const { source } = rule.when;
    const answer = rule.when.ask(facts);
    const found = typeof answer === 'object' ? `fails: ${answer.failed}` : `is ${answer}`;
    const ok = answer === true || answer === 'unknown';
    clauses.push({ clause: 'when', ok, detail: `the condition "${source}" ${found}` });
  }
  const allow = rule.allow ?? [];
  const written = quotedList(allow.map((each) => each.written));
  clauses.push({
    clause: 'allow',
    ok: isAmong(allow, name),
    detail: `the name is "${name.text}", ${written === '' ? 'none' : written} ${allow.length === 1 ? 'is' : 'are'} allowed`,
  });
  return { rule: rule.name, clauses };
}

function failing({ clauses }: RuleAnswer): readonly ClauseAnswer[] {
  return clauses.filter(({ ok }) => !ok);
}

function isAmong(patterns: readonly NamePattern[], name: GivenName): boolean {
  return patterns.some((pattern) => pattern.matches(name));
}

function conditionFacts(question: RuleQuestion): ConditionFacts {
  const { names, requester, profile = '', kind, ttlMs, at } = question;
  return {
    spiffeId: names.spiffeId?.toString() ?? '',
    dns: names.dns,
    ip: names.ip,
    names: formatNames(names),
    provisioner: requester.provisioner,
    caller: requester.caller,
    profile,
    key: kind === undefined ? undefined : formatKeyKind(kind),
    ttlSeconds: ttlMs === undefined ? undefined : ttlMs / 1000,
    at,
  };
}
