import type { VerifiedPeer } from '@countersign/spiffe';
import { type GuardedRequest, type GuardOptions, requestGuard } from './guard.ts';

/** What is needed of a response of Express, or of `node:http`. */
export interface ExpressResponse {
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
  end(body: string): unknown;
}

export interface WithPeer {
  /** Who sends the request, proved. */
  peer?: VerifiedPeer;
}

/**
 * Middleware for Express 4 and 5, and for whatever else hands requests of `node:http` on: lets a request pass whose
 * sender is proved and allowed, with `request.peer`, and answers all others.
 *
 * The app's requests come through `secureServer(identity, http.createServer(app))`.
 *
 * @throws CountersignError ERR_IDENTITY_PATTERN
 */
export function expressPeer(
  options: GuardOptions = {},
): (request: GuardedRequest & WithPeer, response: ExpressResponse, next: () => void) => void {
  const guard = requestGuard(options);
  return function requirePeer(request, response, next) {
    const answer = guard(request);
    if (!answer.ok) {
      response.writeHead(answer.status, answer.headers);
      response.end(answer.body);
      return;
    }
    request.peer = answer.peer;
    next();
  };
}
