import type { Clock, Denial } from '@countersign/base';
import type { GatewayAcknowledgement, RevokeResponse } from '@countersign/wire';
import type { Ledger, RevocationOrder, RevocationRecord } from '../ledger/ledger.ts';
import type { Bell } from './bell.ts';

export interface RevokeAndWait {
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Rings whenever a lease was held or released here. */
  readonly leases: Bell;
  readonly order: RevocationOrder;
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Revoke and cut, as the one who ordered it sees it: one append, then the wait for every live lease, then who closed
 * what in how long. The append stands whatever becomes of the wait.
 */
export async function revokeAndWait(
  run: RevokeAndWait,
): Promise<({ readonly ok: true } & RevokeResponse) | Denial> {
  const { ledger, clock, leases, order, waitMs } = run;

  // 1. the only commit
  const outcome = await ledger.revoke(order);
  if (!outcome.ok) return outcome;
  const { record, matched, repeated } = outcome;

  // 2. every live lease acknowledges, ends, or is waited for in vain
  const deadline = clock.monotonic() + waitMs;
  let gateways: GatewayAcknowledgement[];
  for (;;) {
    const rings = leases.rings;
    gateways = await gatewaysOf(ledger, record, clock);
    const left = deadline - clock.monotonic();
    const everyone = gateways.every((gateway) => gateway.acknowledged);
    if (everyone || left <= 0 || run.signal?.aborted === true) break;
    // A lease may also end by its silence, which nobody announces: look again now and then.
    // Where nothing is served, nothing else keeps the process until the report.
    await leases.wait(rings, Math.min(left, 500), clock, run.signal, { ref: true });
  }

  // 3. the report
  const report = reportOf(record, matched, gateways, waitMs);
  return { ok: true, ...report, dryRun: false, ...(repeated && { earlierAt: record.at }) };
}

async function gatewaysOf(
  ledger: Ledger,
  record: RevocationRecord,
  clock: Clock,
): Promise<GatewayAcknowledgement[]> {
  const [leases, acks] = await Promise.all([
    ledger.leases(),
    ledger.acknowledgements(record.position),
  ]);
  const now = clock.now();
  const ackOf = new Map(acks.map((ack) => [ack.instance, ack]));
  return leases.map(({ instance, spiffeId, position, lastSeen, expiresAt }) => {
    const acknowledged = position >= record.position;
    const ack = acknowledged ? ackOf.get(instance) : undefined;
    return {
      id: instance,
      spiffeId,
      acknowledged,
      closed: ack?.closed ?? 0,
      ms: Math.max(0, (ack?.at ?? (acknowledged ? record.at : now)) - record.at),
      lastSeenMsAgo: Math.max(0, now - lastSeen),
      leaseEndsAt: expiresAt,
    };
  });
}

function reportOf(
  record: RevocationRecord,
  matched: number,
  gateways: readonly GatewayAcknowledgement[],
  waitMs: number,
) {
  const { position, by, value, reason } = record;
  const acknowledged = gateways.filter((gateway) => gateway.acknowledged);
  const last = Math.max(0, ...acknowledged.map((gateway) => gateway.ms));
  return {
    position,
    by,
    value,
    reason,
    matched,
    gateways,
    closed: acknowledged.reduce((sum, gateway) => sum + gateway.closed, 0),
    acknowledgedBy: acknowledged.length,
    elapsedMs: acknowledged.length === gateways.length ? last : Math.max(last, waitMs),
  };
}
