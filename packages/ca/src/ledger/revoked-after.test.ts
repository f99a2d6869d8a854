import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testClock } from '@countersign/testkit';
import { memoryLedger } from './memory-ledger.ts';

describe('what a broad revocation covers', () => {
  it('is walked through in bounded parts, none of it left out', async () => {
    const clock = testClock();
    const ledger = memoryLedger({ clock });
    const expected: number[] = [];
    // Far apart: parts between them are empty, and one ends amid many.
    for (let i = 0; i < 45_000; i += 1) {
      const isCovered = i < 3 || (i >= 19_990 && i < 20_010) || i >= 44_990;
      const intent = await ledger.intend({
        grant: { kind: 'operator' },
        names: [],
        spkiHash: 'ab'.repeat(32),
        provisioner: isCovered ? 'broad' : 'other',
        issuer: 'services',
        notAfter: clock.now() + 1000,
      });
      assert.ok(intent.ok);
      if (isCovered) expected.push(intent.position);
    }
    const order = { by: 'provisioner', value: 'broad', reason: 'superseded' } as const;
    await ledger.revoke({ ...order, orderedBy: 'operator' });
    for (const limit of [5, 512]) {
      const found: number[] = [];
      let cursor = { revocation: 0, intent: 0 };
      for (let more = true; more; ) {
        const page = await ledger.revokedAfter(cursor, limit);
        found.push(...page.rows.map(({ intent }) => intent));
        ({ next: cursor, more } = page);
      }
      assert.deepEqual(found, expected);
    }
  });
});
