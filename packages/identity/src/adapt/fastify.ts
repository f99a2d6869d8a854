import type { VerifiedPeer } from '@countersign/spiffe';
import { type GuardedRequest, type GuardOptions, requestGuard } from './guard.ts';

/** What is needed of a request and a reply of Fastify 4 and 5. */
export interface FastifyRequest {
  readonly raw: GuardedRequest;
  peer?: VerifiedPeer;
}

export interface FastifyReply {
  code(status: number): FastifyReply;
  headers(headers: Readonly<Record<string, string>>): FastifyReply;
  send(body: string): unknown;
}

/**
 * A hook for `onRequest`: lets a request pass whose sender is proved and allowed, with `request.peer`, and answers all
 * others.
 *
 * The app's requests come through `secureServer(identity, app.server)`, after `await app.ready()`.
 *
 * @throws CountersignError ERR_IDENTITY_PATTERN
 */
export function fastifyPeer(
  options: GuardOptions = {},
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  const guard = requestGuard(options);
  return async function requirePeer(request, reply) {
    const answer = guard(request.raw);
    if (answer.ok) {
      request.peer = answer.peer;
      return undefined;
    }
    reply.code(answer.status).headers(answer.headers).send(answer.body);
    return reply;
  };
}
