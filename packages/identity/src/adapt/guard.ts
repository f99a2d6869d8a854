import { randomUUID } from 'node:crypto';
import { type Clock, type Denial, denial, type Log, noLog, systemClock } from '@countersign/base';
import type { RevocationSource, RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import { formatProblem, problemContentType, problemFrom } from '@countersign/wire';
import { compilePattern } from '../live/peer-rules.ts';
import { peerOf } from './peer-of.ts';
import { standingOf, wrongWithStanding } from './standing.ts';

/** As `authorize` of `@countersign/authz` is asked; it and the rules are handed in by whoever has that package. */
export interface RulesQuestion {
  readonly peer: VerifiedPeer;
  readonly revocation: RevocationStatus;
  readonly at: number;
  readonly unknownRevocation: 'refuse';
  readonly connection: { readonly sourceIp?: string | undefined };
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly host?: string | undefined;
    readonly rawHeaders?: readonly string[] | undefined;
  };
}

export interface GuardOptions {
  /** SPIFFE IDs and patterns, as in `PeerRules`. Default: whoever the server let in. */
  readonly allow?: readonly string[];
  /** Rules beside: such as `(question) => authorize(rules, question)` with both of `@countersign/authz`. */
  readonly authorize?: (question: RulesQuestion) => { readonly ok: true } | Denial;
  readonly revocation?: RevocationSource;
  readonly clock?: Clock;
  /** Gets the detail of each refusal; the client gets a number by which it is found there. */
  readonly log?: Log;
}

/** A request of `node:http`, as Express hands it on too. */
export interface GuardedRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** With the path that routers have taken away from `url`. */
  readonly originalUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders?: readonly string[] | undefined;
  readonly socket: object & { readonly remoteAddress?: string | undefined };
}

export type GuardAnswer =
  | { readonly ok: true; readonly peer: VerifiedPeer }
  | {
      readonly ok: false;
      readonly status: 401 | 403;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    };

/**
 * May this request go on, and whose is it? 401 for nobody, 403 for the wrong one: an opaque document for the client, the
 * reason in the log.
 *
 * @throws CountersignError ERR_IDENTITY_PATTERN
 */
export function requestGuard(options: GuardOptions): (request: GuardedRequest) => GuardAnswer {
  const { clock = systemClock, log = noLog, revocation } = options;
  const matchers = options.allow?.map(compilePattern);

  function judge(peer: VerifiedPeer, request: GuardedRequest): { readonly ok: true } | Denial {
    const at = clock.now();
    const standing = standingOf(peer, revocation);
    const wrong = wrongWithStanding(peer, standing, at);
    if (wrong !== undefined) return wrong;
    const shown = peer.spiffeId?.toString() ?? '';
    if (matchers?.some((matches) => matches(shown)) === false) {
      const expected = options.allow ?? [];
      const sides = `peer is "${shown}", expected "${expected.join('" or "')}"`;
      return denial('ERR_PEER_UNEXPECTED', sides, { shown, expected });
    }
    const { method = '', originalUrl, url = '', headers, rawHeaders, socket } = request;
    const host = headers.host ?? headers[':authority'];
    const asked = options.authorize?.({
      ...{ peer, revocation: standing, at, unknownRevocation: 'refuse' },
      connection: { sourceIp: socket.remoteAddress },
      request: {
        ...{ method, path: originalUrl ?? url },
        ...(typeof host === 'string' ? { host } : {}),
        ...(rawHeaders === undefined ? {} : { rawHeaders }),
      },
    });
    return asked ?? { ok: true };
  }

  return function guard(request) {
    const peer = peerOf(request);
    const answer =
      peer === undefined
        ? denial('ERR_TLS_CLIENT_CERTIFICATE_MISSING', 'request without a verified peer')
        : judge(peer, request);
    if (answer.ok && peer !== undefined) return { ok: true, peer };
    const refused = answer as Denial;
    const id = randomUUID();
    const { code, detail, fields } = refused;
    log.warn({ ...fields, code, id, spiffeId: peer?.spiffeId?.toString() }, `refused: ${detail}`);
    const status = peer === undefined ? 401 : 403;
    return {
      ...{ ok: false, status },
      headers: { 'content-type': problemContentType, 'cache-control': 'no-store' },
      body: formatProblem(problemFrom({ code, detail }, { id, audience: 'stranger', status })),
    };
  };
}
