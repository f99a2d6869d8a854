import { denial } from '@countersign/base';
import { formatRevokeResponse, parseJsonBody, parseRevokeRequest } from '@countersign/wire';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';
import { judgePeer } from './authorize-caller.ts';
import { askEdges } from './preview-edges.ts';

/** `POST /v1/revoke`: the authority's own flow, for whoever called; and an answer even for who revoked itself. */
export async function answerRevoke(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
  const { authority, leases } = context;
  const { caller } = call;
  if (caller.kind === 'anonymous') {
    return denial('ERR_API_CERTIFICATE_NEEDED', `"${call.route.path}" needs a client certificate`);
  }
  const request = parseRevokeRequest(
    parseJsonBody(call.body, 'revoke request', call.route.maxBodyBytes),
  );
  const order = { ...request, waitMs: request.waitMs ?? context.waitMs };

  // Its own connection is left alone until the answer is on its way, then judged like the others.
  const spareNoLonger = caller.kind === 'peer' ? context.cutter()?.spare(caller.live) : undefined;
  try {
    const ask = askEdges(context.feed, context.authority.ledger);
    const answer = await authority.revoke(order, caller, { leases, ask, signal: call.left() });
    if (!answer.ok) {
      spareNoLonger?.();
      return answer;
    }
    const { ok: _, ...report } = answer;
    const body = formatRevokeResponse(report);
    if (caller.kind !== 'peer' || spareNoLonger === undefined) return { ok: true, body };
    // Who revoked itself hears that this connection ends, and does not send its next request into the cut.
    const { ledger } = authority;
    const judged = await judgePeer(caller.peer, { ledger, now: context.clock.now() });
    return answerThen(body, { afterwards: spareNoLonger, close: !judged.ok });
  } catch (thrown) {
    spareNoLonger?.();
    throw thrown;
  }
}

function answerThen(
  body: string,
  { afterwards, close }: { readonly afterwards: () => void; readonly close: boolean },
): ApiAnswer {
  return {
    ok: true,
    async stream(response) {
      // Gone before it could be answered: no event comes any more.
      if (response.destroyed) return afterwards();
      response.once('close', afterwards);
      response.writeHead(200, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'content-length': Buffer.byteLength(body),
        ...(close ? { connection: 'close' } : {}),
      });
      response.end(body);
    },
  };
}
