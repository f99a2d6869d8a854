import type { ExternalAnswer } from '@countersign/authz';
import { denial, type Log, messageOf } from '@countersign/base';
import type { ProviderConfig } from '../provider-config.ts';

/** What becomes of a request about which an authorizer cannot be asked: it is refused, unless the operator chose otherwise. */
export function answerWithoutOne(
  { name, failOpen, statusOnError }: ProviderConfig,
  thrown: unknown,
  log: Log,
): ExternalAnswer {
  const reason = messageOf(thrown);
  if (failOpen) {
    const line = { provider: name, reason };
    log.warn(line, 'provider cannot be asked, and is configured to let through then');
    return { ok: true };
  }
  const refused = denial('ERR_AUTHZ_PROVIDER', `it cannot be asked: ${reason}`);
  if (statusOnError === undefined) return refused;
  return { ...refused, response: { status: statusOnError, headers: [], body: '' } };
}
