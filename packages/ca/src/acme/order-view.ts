import { accountOf } from './accounts.ts';
import type { AcmeProfile } from './acme-config.ts';
import type { AcmeContext } from './acme-context.ts';
import type { Authorization, Identifier, Order } from './acme-objects.ts';
import { type AcmeProblem, keptBody, problem } from './acme-problem.ts';
import type { AcmeAnswer, AcmeLinks, AcmeRequest } from './acme-request.ts';

export interface OrderInView {
  readonly order: Order;
  readonly authorizations: readonly Authorization[];
}

export interface FoundOrder extends OrderInView {
  readonly ok: true;
  /** That its next change replaces. */
  readonly version: number;
}

/** An order of the account that signed, with its authorizations. */
export async function findOrder(
  context: AcmeContext,
  request: AcmeRequest,
): Promise<FoundOrder | AcmeProblem> {
  const found = await context.store.find('acme-order', request.names[0] ?? '');
  if (found === undefined) return problem('malformed', 'no such order', { status: 404 });
  if (found.value.account !== accountOf(request).id) {
    return problem('unauthorized', 'the order is of another account');
  }
  const { value, version } = found;
  return { ok: true, version, ...(await viewOf(context, value)) };
}

export async function viewOf({ store }: AcmeContext, order: Order): Promise<OrderInView> {
  const found = await Promise.all(
    order.authorizations.map((id) => store.find('acme-authorization', id)),
  );
  return {
    order,
    authorizations: found.flatMap((each) => (each === undefined ? [] : [each.value])),
  };
}

/** RFC 8555 §7.1.6: of an order that is pending it follows from its authorizations, and from the time. */
export function statusOf(
  { order, authorizations }: OrderInView,
  now: number,
): Order['status'] | 'ready' {
  if (order.status !== 'pending') return order.status;
  if (order.expiresAt <= now || authorizations.length < order.authorizations.length)
    return 'invalid';
  if (authorizations.some((each) => each.status === 'invalid' || each.status === 'deactivated')) {
    return 'invalid';
  }
  const isProved = ({ status, expiresAt }: Authorization) => status === 'valid' && expiresAt > now;
  if (authorizations.every(isProved)) return 'ready';
  return authorizations.some((each) => each.expiresAt <= now) ? 'invalid' : 'pending';
}

export function answerOrder(
  { clock, config }: AcmeContext,
  view: OrderInView,
  links: AcmeLinks,
  httpStatus: number,
): AcmeAnswer {
  const { order } = view;
  const status = statusOf(view, clock.now());
  const error = order.error ?? (status === 'invalid' ? whyInvalid(view, clock.now()) : undefined);
  return {
    ok: true,
    status: httpStatus,
    headers: {
      location: links.order(order.id),
      // RFC 8555 §7.4: while it is issued; before that, it is the client's turn
      ...(status === 'processing' && retryAfter(config.retryAfter.order)),
    },
    body: {
      status,
      expires: new Date(order.expiresAt).toISOString(),
      identifiers: order.identifiers,
      authorizations: order.authorizations.map((id) => links.authorization(id)),
      finalize: links.finalize(order.id),
      ...(order.notBefore !== undefined && { notBefore: order.notBefore }),
      ...(order.notAfter !== undefined && { notAfter: order.notAfter }),
      ...(order.profile !== undefined && { profile: order.profile }),
      ...(order.replaces !== undefined && { replaces: order.replaces }),
      ...(error !== undefined && { error: keptBody(error) }),
      ...(order.certificate !== undefined && { certificate: links.certificate(order.certificate) }),
    },
  };
}

/** RFC 8555 §8.2, in seconds. */
export function retryAfter(seconds: number): Readonly<Record<string, string>> {
  return seconds === 0 ? {} : { 'retry-after': String(seconds) };
}

/** An order that nobody ended itself. */
function whyInvalid({ order, authorizations }: OrderInView, now: number) {
  const failed = authorizations.find((each) => each.status === 'invalid');
  const error = failed?.challenges.find((each) => each.error !== undefined)?.error;
  if (failed !== undefined && error !== undefined) {
    const identifier = shownIdentifier(failed);
    return { ...error, subproblems: [{ type: error.type, detail: error.detail, identifier }] };
  }
  const what = order.expiresAt <= now ? 'the order' : 'an authorization of the order';
  const end = authorizations.some((each) => each.status === 'deactivated')
    ? 'was deactivated'
    : 'ended';
  return { type: 'unauthorized', detail: `${what} ${end} before it was finalised` } as const;
}

export function shownIdentifier({ identifier, wildcard }: Authorization): Identifier {
  return wildcard ? { type: 'dns', value: `*.${identifier.value}` } : identifier;
}

export function spiffeIdOf(
  profile: AcmeProfile | undefined,
  identifiers: readonly Identifier[],
): string | undefined {
  const name = identifiers[0]?.value.replace(/^\*\./, '') ?? '';
  return profile?.spiffeId?.replaceAll('{name}', name);
}
