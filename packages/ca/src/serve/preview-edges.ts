import { type Clock, type Denial, formatDuration, toHex } from '@countersign/base';
import { feedDialect, type GatewayAcknowledgement, type RevokeResponse } from '@countersign/wire';
import type { Lease, Ledger, RevocationOrder } from '../ledger/ledger.ts';
import { randomOctets } from '../ledger/random-octets.ts';
import { isRelease } from '../ledger/revocation-order.ts';
import type { FeedHub } from './feed-hub.ts';
import { questionLines } from './feed-pages.ts';

/** What each gateway said that it would cut; and why each of the others did not say. */
export interface EdgeAnswers {
  readonly wouldClose: ReadonlyMap<string, number>;
  readonly unsaid: (instance: string) => string;
}

export type AskEdges = (
  order: Pick<RevocationOrder, 'by' | 'value' | 'block'>,
  leases: readonly Lease[],
  wait: {
    readonly waitMs: number;
    readonly clock: Clock;
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<EdgeAnswers>;

/** Asks over the feed of this process; what is answered comes with the leases. */
export function askEdges(hub: FeedHub, ledger: Ledger): AskEdges {
  return async function ask({ by, value, block = false }, leases, { waitMs, clock, signal }) {
    // 1. who follows here, and understands questions
    const dialects = new Map(
      leases.map(({ instance, spiffeId }) => [instance, hub.dialectOf(spiffeId, instance)]),
    );
    const asked = leases.filter(({ instance }) => (dialects.get(instance) ?? 0) >= feedDialect);
    // 2. what would be covered: everything that is ordered by now
    const { position, revocationPosition } = await ledger.status();
    const id = toHex(randomOctets(8));
    const question = { id, position: revocationPosition, by, value, below: position + 1 };
    const lines =
      asked.length === 0
        ? undefined
        : await questionLines(ledger, { ...question, ...(block && { block }) });
    // 3. the answers, within bounds
    const wait = { waitMs, clock, ...(signal !== undefined && { signal }) };
    const of = new Map(asked.map(({ instance, spiffeId }) => [instance, spiffeId]));
    const ring = () => hub.commits.ring();
    const answers =
      lines === undefined ? undefined : await hub.questions.ask({ id, lines, of }, wait, ring);
    return {
      wouldClose: answers ?? new Map<string, number>(),
      unsaid(instance) {
        const dialect = dialects.get(instance);
        if (dialect === undefined) return 'it does not follow the feed of this process now';
        if (dialect < feedDialect) return 'its version cannot be asked';
        if (lines === undefined) return 'too much would be covered to ask about';
        if (answers === undefined) return 'too much else is asked at this moment';
        return `it did not answer within ${formatDuration(waitMs)}`;
      },
    };
  };
}

/** What a revocation would cover and cut, without an append. */
export async function previewRevocation(
  order: RevocationOrder,
  context: {
    readonly ledger: Ledger;
    readonly clock: Clock;
    /** For the gateways' answers. */
    readonly waitMs: number;
    readonly ask?: AskEdges | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<({ readonly ok: true } & RevokeResponse) | Denial> {
  const { ledger, clock, waitMs, ask, signal } = context;
  const preview = await ledger.previewRevocation(order);
  if (!preview.ok) return preview;
  const { revocationPosition } = await ledger.status();
  const leases = await ledger.leases();
  const isAsked = waitMs > 0 && leases.length > 0 && !isRelease(order.reason);
  const answers = isAsked ? await ask?.(order, leases, { waitMs, clock, signal }) : undefined;
  const now = clock.now();
  const gateways = leases.map((lease) => gatewayOf(lease, now, answers));
  const { by, value, reason } = order;
  return {
    ok: true,
    position: preview.earlier?.position ?? revocationPosition,
    by,
    value,
    reason,
    matched: preview.matched,
    gateways,
    closed: 0,
    acknowledgedBy: 0,
    elapsedMs: 0,
    dryRun: true,
    ...(answers !== undefined && {
      wouldClose: gateways.reduce((sum, each) => sum + (each.wouldClose ?? 0), 0),
    }),
    ...(preview.earlier !== undefined && { earlierAt: preview.earlier.at }),
  };
}

function gatewayOf(
  { instance, spiffeId, lastSeen, expiresAt }: Lease,
  now: number,
  answers: EdgeAnswers | undefined,
): GatewayAcknowledgement {
  const wouldClose = answers?.wouldClose.get(instance);
  return {
    id: instance,
    spiffeId,
    acknowledged: false,
    closed: 0,
    ms: 0,
    lastSeenMsAgo: Math.max(0, now - lastSeen),
    leaseEndsAt: expiresAt,
    ...(wouldClose !== undefined && { wouldClose }),
    ...(answers !== undefined && wouldClose === undefined && { unsaid: answers.unsaid(instance) }),
  };
}
