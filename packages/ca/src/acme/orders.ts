import { accountOf } from './accounts.ts';
import type { AcmeProfile } from './acme-config.ts';
import type { AcmeContext } from './acme-context.ts';
import { orderedId } from './acme-ids.ts';
import type { Order } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeRequest } from './acme-request.ts';
import { creating, keptAfterEndMs } from './acme-store.ts';
import { authorizationsFor } from './authorizations.ts';
import { provisionerOf } from './external-account.ts';
import { resumeOrder } from './finalize.ts';
import { readIdentifiers, refusedIdentifiers } from './identifiers.ts';
import { answerOrder, findOrder, spiffeIdOf, viewOf } from './order-view.ts';
import { replacedBy } from './renewal-info.ts';
import { readValidity } from './requested-validity.ts';

type Answer = Promise<AcmeAnswer | AcmeProblem>;

/** RFC 8555 §7.4 */
export async function newOrder(context: AcmeContext, request: AcmeRequest): Answer {
  const { config, clock, store } = context;
  const account = accountOf(request);
  const payload = request.payload ?? {};
  const now = clock.now();

  // 1. What is asked for.
  const read = readIdentifiers(payload.identifiers, config);
  if (!read.ok) return read;
  const { identifiers } = read;
  const asked = readValidity(payload, config, now);
  if (!asked.ok) return asked;
  // The draft says `profile`; clients in Go whose servers read either write `Profile` as well.
  const profile = profileOf(config.profiles, payload.profile ?? payload.Profile);
  if (!profile.ok) return profile;

  // 2. Whether the policy would sign it at all: nobody is to prove names in vain.
  const judged = await context.authority.judgeNames({
    provisioner: provisionerOf(config, account),
    caller: `acme:${account.id}`,
    identifiers,
    profile: profile.profile?.profile,
    spiffeId: spiffeIdOf(profile.profile, identifiers),
  });
  if (judged !== undefined) {
    const operator = { code: judged.code, detail: judged.detail };
    if (identifiers.length > 1) {
      return problem('rejectedIdentifier', 'the policy does not sign these names', { operator });
    }
    const subproblems = identifiers.map((identifier) => ({
      type: 'rejectedIdentifier' as const,
      detail: 'the policy does not sign this name',
      identifier,
    }));
    return { ...refusedIdentifiers(subproblems), fields: operator };
  }

  // 3. RFC 9773 §5: a certificate is replaced once.
  const replaces = await replacedBy(context, account, payload.replaces, identifiers);
  if (!replaces.ok) return replaces;

  const wait = context.orders.take(account.id);
  if (wait !== undefined) {
    const sides = `${config.limits.ordersPerHour} new orders an hour are taken of one account`;
    return problem('rateLimited', sides, { headers: { 'retry-after': String(wait) } });
  }

  // 4. An authorization for each identifier, those that are valid already among them; all is kept at once.
  const authorizations = await authorizationsFor(context, account, identifiers);
  const order: Order = {
    id: orderedId(now),
    account: account.id,
    status: 'pending',
    expiresAt: now + config.orderMs,
    identifiers,
    authorizations: authorizations.map((each) => each.value.id),
    ...asked.validity,
    profile: profile.profile?.name,
    replaces: replaces.id,
    error: undefined,
    csr: undefined,
    workingUntil: undefined,
    certificate: undefined,
    createdAt: now,
  };
  const expiresAt = order.expiresAt + keptAfterEndMs;
  const made = await store.change(
    ...authorizations.flatMap((each) => (each.creates === undefined ? [] : [each.creates])),
    creating('acme-order', order.id, order, { owner: account.id, expiresAt }),
    ...replaces.changes(order.id, expiresAt),
  );
  if (!made) return problem('alreadyReplaced', 'another order replaces that certificate already');
  const values = authorizations.map((each) => each.value);
  return answerOrder(context, { order, authorizations: values }, request.links, 201);
}

/** RFC 8555 §7.1.3, by POST-as-GET. */
export async function order(context: AcmeContext, request: AcmeRequest): Answer {
  const found = await findOrder(context, request);
  if (!found.ok) return found;
  // Whoever asks keeps it going, should the process that issued have died.
  const present = await resumeOrder(context, found.order);
  const view = present === found.order ? found : await viewOf(context, present);
  return answerOrder(context, view, request.links, 200);
}

/** Of the profiles draft, §4: absent is the server's choice, an unknown one is refused. */
function profileOf(
  profiles: readonly AcmeProfile[],
  written: unknown,
): { readonly ok: true; readonly profile: AcmeProfile | undefined } | AcmeProblem {
  if (written === undefined) return { ok: true, profile: profiles[0] };
  const found = profiles.find((each) => each.name === written);
  if (found !== undefined) return { ok: true, profile: found };
  const known = profiles.map((each) => `"${each.name}"`).join(', ');
  const sides = `profile "${String(written).slice(0, 80)}" is not offered, ${known === '' ? 'none is' : known}`;
  return problem('invalidProfile', sides);
}
