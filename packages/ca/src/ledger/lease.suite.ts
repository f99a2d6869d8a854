import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock } from '@countersign/base';
import type { LedgerUnderTest } from './ledger.suite.ts';
import type { Ledger } from './ledger.ts';

const start = Date.UTC(2026, 0, 1);
const day = 86_400_000;
const orders = 'spiffe://example.com/ns/prod/sa/orders';
const payments = 'spiffe://example.com/ns/prod/sa/payments';
const gateway = 'spiffe://example.com/ns/edge/sa/gateway';
const hold = { instance: 'gw-1', spiffeId: gateway, maxSilenceMs: 1000, position: 0 };

/** What every ledger does about leases and acknowledgements. */
export function leaseSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: leases`, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });
    afterEach(() => ledger.close());

    async function revoke(value: string): Promise<number> {
      const by = 'spiffe-id' as const;
      const order = { by, value, reason: 'superseded', orderedBy: 'operator' } as const;
      const outcome = await ledger.revoke(order);
      assert.ok(outcome.ok);
      return outcome.record.position;
    }

    async function refusal(attempt: ReturnType<Ledger['holdLease']>): Promise<string> {
      const answer = await attempt;
      return answer.ok ? 'held' : answer.code;
    }

    it('holds a lease until its silence, and adds up what was closed', async () => {
      const position = await revoke(orders);
      const taken = await ledger.holdLease(hold);
      assert.equal(taken.ok && taken.expiresAt, start + 1000);
      now += 500;
      const closed = { closed: 3, kept: 4, elapsedMs: 1.5 };
      await ledger.holdLease({ ...hold, position, closed });
      const [lease] = await ledger.leases();
      assert.deepEqual(lease, {
        instance: 'gw-1',
        spiffeId: gateway,
        maxSilenceMs: 1000,
        lastSeen: start + 500,
        expiresAt: start + 1500,
        position,
        closed: 3,
      });
      const acks = await ledger.acknowledgements(position);
      assert.deepEqual(acks, [
        { ...closed, instance: 'gw-1', spiffeId: gateway, position, at: now },
      ]);
      now = start + 1500;
      assert.deepEqual(await ledger.leases(), []);
    });

    it('answers for a revocation the first acknowledgement at or above it', async () => {
      const first = await revoke(orders);
      const second = await revoke(payments);
      await ledger.holdLease({ ...hold, position: first });
      assert.deepEqual(await ledger.acknowledgements(second), []);
      now += 10;
      await ledger.holdLease({ ...hold, position: second });
      const [ofFirst] = await ledger.acknowledgements(first);
      const [ofSecond] = await ledger.acknowledgements(second);
      assert.equal(ofFirst?.at, start);
      assert.equal(ofSecond?.at, start + 10);
    });

    it('gives an instance to one SPIFFE ID at a time', async () => {
      await ledger.holdLease(hold);
      const thief = ledger.holdLease({ ...hold, spiffeId: payments });
      assert.equal(await refusal(thief), 'ERR_LEDGER_LEASE');
      await ledger.releaseLease('gw-1', payments);
      assert.equal((await ledger.leases()).length, 1);
      await ledger.releaseLease('gw-1', gateway);
      assert.deepEqual(await ledger.leases(), []);
      assert.equal(await refusal(ledger.holdLease({ ...hold, spiffeId: payments })), 'held');
    });

    it('does not believe an acknowledgement of what has not happened', async () => {
      assert.equal(await refusal(ledger.holdLease({ ...hold, position: 7 })), 'ERR_LEDGER_LEASE');
    });

    it('gives one SPIFFE ID 256 leases at most, renewals not counted', async () => {
      const many = Array.from({ length: 256 }, (_, index) =>
        ledger.holdLease({ ...hold, instance: `gw-${index}` }),
      );
      await Promise.all(many);
      assert.equal(
        await refusal(ledger.holdLease({ ...hold, instance: 'gw-300' })),
        'ERR_LEDGER_LEASE',
      );
      assert.equal(await refusal(ledger.holdLease(hold)), 'held');
      const other = { ...hold, instance: 'gw-300', spiffeId: payments };
      assert.equal(await refusal(ledger.holdLease(other)), 'held');
      now += 1000;
      assert.equal(await refusal(ledger.holdLease({ ...hold, instance: 'gw-301' })), 'held');
    });

    it('forgets acknowledgements after a week, once somebody new comes', async () => {
      const position = await revoke(orders);
      await ledger.holdLease({ ...hold, position });
      now += 6 * day;
      await ledger.holdLease({ ...hold, instance: 'gw-2' });
      assert.equal((await ledger.acknowledgements(position)).length, 1);
      now += 2 * day;
      await ledger.holdLease({ ...hold, instance: 'gw-3' });
      assert.deepEqual(await ledger.acknowledgements(position), []);
    });
  });
}
