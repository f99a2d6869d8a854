import type { Audience, Route } from '@countersign/wire';
import type { Caller } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** All detail is for operators, that of its own request for a peer; who found a route learns the code; anybody else an id. */
export function audienceOf(
  context: Pick<ApiContext, 'isAdmin'>,
  caller: Caller,
  route: Route | undefined,
): Audience {
  if (caller.kind === 'operator') return 'operator';
  if (route === undefined || route.auth === 'admin') return 'stranger';
  if (caller.kind === 'anonymous') return route.auth === 'mtls' ? 'stranger' : 'caller';
  return context.isAdmin(caller.peer) ? 'operator' : 'requester';
}
