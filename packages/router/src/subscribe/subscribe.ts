import { type Execution, executePlan, takeRoot } from '../execute/execute-plan.ts';
import type { SubgraphAnswer } from '../execute/response-error.ts';
import type { FetchPlan, Plan } from '../plan/plan.ts';

/** A subscription's plan: the one field that gives events, and what completes each. */
export interface SubscriptionPlan {
  readonly primary: FetchPlan;
  readonly rest: readonly Plan[];
}

export function subscriptionPlan(plan: Plan): SubscriptionPlan {
  if (plan.kind === 'subscription') return { primary: plan.primary, rest: [] };
  const [first, ...rest] = plan.kind === 'sequence' ? plan.nodes : [];
  if (first?.kind === 'subscription') return { primary: first.primary, rest };
  throw new TypeError('a plan that does not begin with its subscription');
}

/** Completes one event by what other subgraphs know of it. */
export async function completeEvent(
  { primary, rest }: SubscriptionPlan,
  answer: SubgraphAnswer,
  execution: Execution,
): Promise<void> {
  takeRoot(primary, answer, execution);
  for (const node of rest) await executePlan(node, execution);
}
