import { denial, messageOf } from '@countersign/base';
import { type AuthzQuestion, isUnaskedIn, rulesFor } from '../authorize.ts';
import type { ExternalAnswer, ExternalAnswers } from '../judge.ts';
import { factsOf } from '../question-facts.ts';
import { type RuleSet, ruleApplies } from '../rules/rule-set.ts';

/**
 * Whom CUSTOM policies ask: an external authorization service, as Envoy's `ext_authz` calls it, by HTTP (its own
 * request with the same method, path and headers; 200 is yes, any other status no) or by gRPC
 * (`envoy.service.auth.v3.Authorization/Check`; status OK is yes). How it is called, and what it is told, is the
 * matter of whoever passes it in.
 */
export interface ExternalAuthorizer {
  /**
   * @throws anything where there is no answer, which denies: to be open then, catch it and say yes
   */
  check(asked: AuthzQuestion): Promise<ExternalAnswer>;
  /** How much of a request's body it has to be shown, where it has to; {@link AuthzRequest.body} has that. */
  readonly wantsBody?: { readonly maxBytes: number; readonly takesPart: boolean } | undefined;
}

/** The providers whose CUSTOM rules apply to a question, in the order in which Istio asks them; most often none. */
export function providersFor(rules: RuleSet, question: AuthzQuestion): readonly string[] {
  const { customs } = rulesFor(rules, question);
  if (customs.length === 0 || isUnaskedIn(question)) return none;
  const facts = factsOf(question, rules.mesh);
  if ('ok' in facts) return none;
  const applying = customs.filter((rule) => ruleApplies(rule, facts, false));
  return [...new Set(applying.map(({ provider = '' }) => provider))].toSorted();
}

/**
 * Asks each of the providers for a question, and stops at the first that refuses. The answers belong into the question
 * before `authorize` is asked; a provider that is not there, or fails, has none, which denies.
 */
export async function askExternal(
  rules: RuleSet,
  question: AuthzQuestion,
  authorizers: ReadonlyMap<string, ExternalAuthorizer>,
): Promise<ExternalAnswers> {
  const answers = new Map<string, ExternalAnswer>();
  for (const provider of providersFor(rules, question)) {
    const authorizer = authorizers.get(provider);
    if (authorizer === undefined) break;
    const answer = await checked(authorizer, question);
    answers.set(provider, answer);
    if (!answer.ok) break;
  }
  return answers;
}

async function checked(
  authorizer: ExternalAuthorizer,
  question: AuthzQuestion,
): Promise<ExternalAnswer> {
  try {
    return await authorizer.check(question);
  } catch (thrown) {
    return denial('ERR_AUTHZ_PROVIDER', `it cannot be asked: ${messageOf(thrown)}`);
  }
}

const none: readonly string[] = [];
