import type { Denial } from '@countersign/base';
import type { RuleFacts } from './rules/rule-facts.ts';
import { type ActionRules, type CompiledRule, ruleApplies } from './rules/rule-set.ts';

/** What external authorizers said, by the provider's name. */
export type ExternalAnswers = ReadonlyMap<string, ExternalAnswer>;

export type ExternalAnswer =
  | { readonly ok: true; readonly changes?: ExternalChanges }
  | (Denial & { readonly response?: ExternalResponse });

/** What an authorizer has done to what it allows. Lines are names and values. */
export interface ExternalChanges {
  readonly request: ExternalHeaders & { readonly remove: readonly string[] };
  readonly response: ExternalHeaders;
  readonly query?: {
    readonly set: readonly (readonly [string, string])[];
    readonly remove: readonly string[];
  };
}

export interface ExternalHeaders {
  readonly set: readonly (readonly [string, string])[];
  readonly add: readonly (readonly [string, string])[];
  readonly addIfAbsent: readonly (readonly [string, string])[];
}

/** What a caller that is refused is told, instead of the gateway's own words. */
export interface ExternalResponse {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export type Judgement = { readonly ok: true; readonly rule: CompiledRule | undefined } | Refused;

export type Refused =
  | { readonly ok: false; readonly by: 'provider' | 'deny'; readonly rule: CompiledRule }
  | { readonly ok: false; readonly by: 'no-rule' };

/**
 * What the rules say to these facts; nothing of whether the peer still is who it was. CUSTOM comes first, then DENY,
 * then ALLOW: as soon as there is an ALLOW policy, only what one allows is allowed.
 *
 * @param isUnasked there is no request yet: see {@link ruleApplies}
 */
export function judge(
  rules: ActionRules,
  facts: RuleFacts,
  isUnasked: boolean,
  external?: ExternalAnswers,
): Judgement {
  // Providers are asked about requests, and about connections that have none.
  for (const rule of isUnasked ? [] : rules.customs) {
    if (external?.get(rule.provider ?? '')?.ok === true) continue;
    if (ruleApplies(rule, facts, false)) return { ok: false, by: 'provider', rule };
  }
  for (const rule of rules.denies) {
    if (ruleApplies(rule, facts, isUnasked)) return { ok: false, by: 'deny', rule };
  }
  if (rules.allowPolicies.length === 0) return allowedByDefault;
  for (const rule of rules.allows) {
    if (ruleApplies(rule, facts, isUnasked)) return { ok: true, rule };
  }
  return allowedByNone;
}

const allowedByDefault: Judgement = { ok: true, rule: undefined };
const allowedByNone: Judgement = { ok: false, by: 'no-rule' };

export interface Observation {
  /** The rules of AUDIT policies that apply. */
  readonly audits: readonly CompiledRule[];
  /** What would be without the annotation, DENY and ALLOW among dry runs alone; undefined: no policy has it. */
  readonly dryRun: Judgement | undefined;
}

export function hasObservers({ audits, dryRun }: ActionRules): boolean {
  return audits.length > 0 || hasDryRun(dryRun);
}

export function observeFacts(rules: ActionRules, facts: RuleFacts): Observation {
  const { dryRun } = rules;
  return {
    audits: rules.audits.filter((rule) => ruleApplies(rule, facts, false)),
    dryRun: hasDryRun(dryRun)
      ? judge({ ...rules, ...dryRun, customs: [] }, facts, false)
      : undefined,
  };
}

function hasDryRun({ denies, allowPolicies }: ActionRules['dryRun']): boolean {
  return denies.length > 0 || allowPolicies.length > 0;
}
