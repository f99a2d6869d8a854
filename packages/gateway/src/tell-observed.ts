import type { AuthzRequest, Judgement } from '@countersign/authz';
import type { Log } from '@countersign/base';
import { describePeer } from '@countersign/mtls';
import { type Facts, observed } from './reask.ts';
import type { Session } from './session.ts';

/** Logs what AUDIT policies and dry runs say to a request, where there are any. */
export function tellObserved(
  { facts, log }: { readonly facts: Facts; readonly log: Log },
  session: Session,
  request: AuthzRequest,
): void {
  const seen = observed(facts, session, request);
  if (seen === undefined) return;
  const { method, path } = request;
  const line = { method, path, ...describePeer(session.peer) };
  for (const { policy, index } of seen.audits) {
    log.info({ ...line, policy, rule: index }, 'request matches an AUDIT policy');
  }
  if (seen.dryRun !== undefined) {
    const { by, policy, rule } = outcomeOf(seen.dryRun);
    log.info({ ...line, dryRun: by, policy, rule }, 'what dry runs of policies say to a request');
  }
}

function outcomeOf(judged: Judgement) {
  const decided = 'rule' in judged ? judged.rule : undefined;
  const by = judged.ok ? 'allowed' : 'denied';
  return { by, policy: decided?.policy, rule: decided?.index };
}
