import { type Denial, denial } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import {
  formatCertificatesOfKey,
  formatIssueExplanation,
  formatIssueResponse,
  formatLeaseResponse,
  formatStatusResponse,
  formatTokenResponse,
  formatVaultTokenResponse,
  instanceRule,
  parseAdminIssueRequest,
  parseJsonBody,
  parseLeaseRequest,
  parseRenewRequest,
  parseTokenRequest,
  parseVaultTokenRequest,
  type RouteName,
} from '@countersign/wire';
import { certificatesOfKey } from '../certificates-of-key.ts';
import { entryHandlers } from '../entries/entry-handlers.ts';
import type { Issued, Refusal } from '../issue.ts';
import { jwtHandlers } from '../jwt/jwt-handlers.ts';
import { answerLedgerRead } from '../ledger/ledger-pages.ts';
import { orderVaultToken } from '../order-vault-token.ts';
import { ownStatus } from '../status/own-status.ts';
import { servedStatus } from '../status/served-status.ts';
import { type ApiAnswer, type ApiCall, nameOf } from './api-call.ts';
import type { ApiContext } from './api-context.ts';
import { expiryOf } from './authorize-caller.ts';
import { bundleHandlers, noteRoots } from './bundle-handlers.ts';
import { answerEnrol } from './enrol-handler.ts';
import { streamRevocations } from './feed-stream.ts';
import { answerIssueBatch } from './issue-batch-handler.ts';
import { answerKeyRevoke } from './key-revoke-handler.ts';
import { logHandlers } from './log-handlers.ts';
import { answerRevoke } from './revoke-handler.ts';
import { answerTpmChallenge } from './tpm-challenge-handler.ts';

type Handler = (context: ApiContext, call: ApiCall) => ApiAnswer | Promise<ApiAnswer>;

/** What each route does, once its caller may ask and its body is read. */
export const handlers: Readonly<Record<RouteName, Handler>> = {
  ...bundleHandlers,

  enrol: answerEnrol,

  tpmChallenge: answerTpmChallenge,

  async renew(context, call) {
    const peer = peerOf(call);
    if (!peer.ok) return peer;
    const { notAfter: endsAt, serialHex: key } = peer.peer;
    return await context.queue.serve({ endsAt, key, left: call.left }, async () => {
      const request = parseRenewRequest(bodyOf(call));
      return issued(context, await context.authority.renew({ peer: peer.peer, ...request }));
    });
  },

  issueBatch: answerIssueBatch,
  revoke: answerRevoke,
  keyRevoke: answerKeyRevoke,

  async status({ authority, clock, version, startedAt, running, isAdmin }, { caller }) {
    const parts = { authority, running: running(), version, startedAt, clock };
    const status = await servedStatus(parts);
    const seesAll = caller.kind !== 'peer' || isAdmin(caller.peer);
    const told = seesAll ? status : ownStatus(status, caller.peer);
    return { ok: true, body: formatStatusResponse(told) };
  },

  async feed(context, call) {
    const { authority, feed, clock } = context;
    const cursor = cursorOf(call.query);
    if (!cursor.ok) return cursor;
    const { revocationPosition } = await authority.ledger.status();
    if (cursor.after > revocationPosition) {
      return denial(
        'ERR_API_FEED_CURSOR',
        `the reader has revocations up to ${cursor.after}, the newest in this ledger is ${revocationPosition}`,
        { after: cursor.after, head: revocationPosition },
      );
    }
    const seat = feed.sit(nameOf(call.caller), cursor.instance, cursor.reads);
    if (!seat.ok) return seat;
    const { caller } = call;
    const hello = {
      trustDomain: authority.config.trustDomain,
      anchors: context.anchors(),
      position: revocationPosition,
    };
    return {
      ok: true,
      stream: (response) =>
        streamRevocations({
          hub: feed,
          seat,
          response,
          after: cursor.after,
          hello,
          stillAllowed: () =>
            caller.kind === 'peer' ? expiryOf(caller.peer, clock.now()) : undefined,
        }),
    };
  },

  async lease(context, call) {
    const { ledger } = context.authority;
    const peer = peerOf(call);
    if (!peer.ok) return peer;
    if (!context.authority.mayHoldLease(peer.peer)) {
      const detail = `"${nameOf(call.caller)}" may not hold a lease: api.gateways does not name it`;
      return denial('ERR_API_FORBIDDEN', detail);
    }
    const request = parseLeaseRequest(bodyOf(call));
    const spiffeId = nameOf(call.caller);
    if (request.release) {
      await ledger.releaseLease(request.instance, spiffeId);
      context.leases.ring();
      const { revocationPosition } = await ledger.status();
      return {
        ok: true,
        body: formatLeaseResponse({ expiresAt: 0, position: revocationPosition }),
      };
    }
    const { release: _, answers = [], roots = [], ...hold } = request;
    const lease = await ledger.holdLease({ ...hold, spiffeId });
    if (!lease.ok) return lease;
    const { serialHex } = peer.peer;
    await noteRoots(context, { serialHex, instance: request.instance, roots });
    const { questions } = context.feed;
    for (const { id, wouldClose } of answers) questions.answer(id, request.instance, wouldClose);
    context.leases.ring();
    const { revocationPosition: position } = await ledger.status();
    return { ok: true, body: formatLeaseResponse({ expiresAt: lease.expiresAt, position }) };
  },

  ...logHandlers,

  ...entryHandlers,

  ...jwtHandlers,

  async adminLedger({ authority }, call) {
    return { ok: true, body: await answerLedgerRead(authority.ledger, bodyOf(call)) };
  },

  async adminToken({ authority }, call) {
    const created = await authority.createToken(parseTokenRequest(bodyOf(call)));
    return created.ok ? { ok: true, body: formatTokenResponse(created) } : created;
  },

  async adminVaultToken({ authority, clock, log }, call) {
    const { config, ledger } = authority;
    const request = parseVaultTokenRequest(bodyOf(call));
    const created = await orderVaultToken(request, { config, ledger, clock, log });
    return created.ok ? { ok: true, body: formatVaultTokenResponse(created) } : created;
  },

  async adminCertificates({ authority }, { query }) {
    const key = query.get('key') ?? '';
    const unknown = [...query.keys()].find((each) => each !== 'key');
    if (unknown !== undefined) {
      const detail = `certificates query has unknown "${unknown.slice(0, 80)}", expected "key"`;
      return denial('ERR_WIRE_UNKNOWN_MEMBER', detail);
    }
    if (!/^[0-9a-f]{64}$/.test(key)) {
      const detail = `certificates query: key "${key.slice(0, 80)}" is no SHA-256 in lowercase hex`;
      return denial('ERR_WIRE_MESSAGE', detail);
    }
    const found = await certificatesOfKey(authority.ledger, key);
    return { ok: true, body: formatCertificatesOfKey(found) };
  },

  async adminExplain({ authority }, call) {
    const explanation = await authority.explain(parseAdminIssueRequest(bodyOf(call)));
    return { ok: true, body: formatIssueExplanation(explanation) };
  },

  async adminIssue(context, call) {
    const request = parseAdminIssueRequest(bodyOf(call));
    return issued(context, await context.authority.issue(request));
  },
};

function bodyOf(call: ApiCall): unknown {
  return parseJsonBody(call.body, `${call.route.name} request`, call.route.maxBodyBytes);
}

/** The admin socket answers every route, yet some ask about the caller's own certificate. */
function peerOf(call: ApiCall): { readonly ok: true; readonly peer: VerifiedPeer } | Denial {
  if (call.caller.kind === 'peer') return { ok: true, peer: call.caller.peer };
  const detail = `"${call.route.path}" is about the caller's own certificate, and none was shown`;
  return denial('ERR_API_CERTIFICATE_NEEDED', detail);
}

function issued({ authority }: ApiContext, answer: Issued | Refusal): ApiAnswer {
  if (!answer.ok) return answer;
  return { ok: true, body: formatIssueResponse(authority.issueResponseOf(answer)) };
}

function cursorOf(
  query: URLSearchParams,
):
  | { readonly ok: true; readonly after: number; readonly instance: string; readonly reads: number }
  | Denial {
  const after = query.get('after') ?? '0';
  const instance = query.get('instance') ?? '';
  const reads = query.get('reads') ?? '1';
  const unknown = [...query.keys()].find((key) => !['after', 'instance', 'reads'].includes(key));
  if (unknown !== undefined) {
    return denial(
      'ERR_WIRE_UNKNOWN_MEMBER',
      `feed query has unknown "${unknown.slice(0, 80)}", expected "after", "instance" and "reads"`,
    );
  }
  if (!/^[1-9]\d?$/.test(reads)) {
    return denial('ERR_WIRE_MESSAGE', `feed query: reads "${reads.slice(0, 80)}" is no version`);
  }
  if (!/^\d{1,15}$/.test(after)) {
    return denial('ERR_WIRE_MESSAGE', `feed query: after "${after.slice(0, 80)}" is no position`);
  }
  if (!instanceRule.pattern.test(instance)) {
    return denial('ERR_WIRE_MESSAGE', `feed query: instance is not ${instanceRule.form}`);
  }
  return { ok: true, after: Number(after), instance, reads: Number(reads) };
}
