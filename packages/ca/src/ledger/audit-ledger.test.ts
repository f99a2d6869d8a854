import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@countersign/base';
import { auditLedger } from './audit-ledger.ts';
import type { Ledger, LedgerRecord } from './ledger.ts';
import { memoryLedger } from './memory-ledger.ts';

describe('ledger auditor', () => {
  it('finds nothing in a ledger that holds', async () => {
    const { ledger, serialHex } = await ledgerWithHistory();
    const audit = await auditLedger(ledger, { serials: [serialHex], revocations: [4, 5] });
    assert.deepEqual(audit, { findings: [], records: 5, issued: 1, openIntents: 0 });
  });

  it('finds what was acknowledged and is missing', async () => {
    const { ledger } = await ledgerWithHistory();
    const { findings } = await auditLedger(ledger, { serials: ['01aa'], revocations: [3] });
    assert.equal(findings.length, 2);
    assert.match(findings.join('\n'), /certificate "01aa" was acknowledged/);
    assert.match(findings.join('\n'), /revocation 3 was acknowledged/);
  });

  const mutations: [string, (records: LedgerRecord[]) => LedgerRecord[], RegExp][] = [
    ['a lost record', (records) => records.toSpliced(1, 1), /position 3 follows 1/],
    [
      'a certificate without an intent',
      (records) => records.map((r) => (r.kind === 'issued' ? { ...r, intent: 1 } : r)),
      /issued at 3 has no intent at 1/,
    ],
    [
      'a serial twice',
      (records) =>
        records.flatMap((r): LedgerRecord[] => (r.kind === 'intent' ? [r, { ...r }] : [r])),
      /was ordered twice/,
    ],
    [
      'another serial than ordered',
      (records) => records.map((r) => (r.kind === 'issued' ? { ...r, serialHex: '01ff' } : r)),
      /another serial than its intent/,
    ],
    [
      'a broken chain of revocations',
      (records) => records.map((r) => (r.kind === 'revocation' ? { ...r, previous: 0 } : r)),
      /revocation 5 says that 0 precedes it, 4 does/,
    ],
    [
      'a token that is not spent by its intent',
      (records) => records.map((r) => (r.kind === 'token' ? { ...r, spentBy: undefined } : r)),
      /redeemed token "0000000000000001", which is not spent/,
    ],
    [
      'a token spent by something else',
      (records) => records.map((r) => (r.kind === 'token' ? { ...r, spentBy: 4 } : r)),
      /which is not its intent/,
    ],
  ];
  for (const [what, mutate, expected] of mutations) {
    it(`finds ${what}`, async () => {
      const { ledger } = await ledgerWithHistory();
      const records = mutate([...(await ledger.recordsAfter(0, 100))]);
      const mutated: Ledger = Object.create(ledger, {
        recordsAfter: {
          value: async (after: number) => records.filter((record) => record.position > after),
        },
        status: { value: () => ledger.status() },
        openIntents: { value: () => ledger.openIntents() },
      });
      assert.match((await auditLedger(mutated)).findings.join('\n'), expected);
    });
  }
});

async function ledgerWithHistory(): Promise<{ ledger: Ledger; serialHex: string }> {
  const ledger = memoryLedger({ clock: systemClock });
  const secretHash = '11'.repeat(32);
  const id = '0000000000000001';
  await ledger.createToken({
    id,
    secretHash,
    names: [],
    provisioner: 'token',
    expiresAt: Number.MAX_SAFE_INTEGER,
  });
  const intent = await ledger.intend({
    grant: { kind: 'token', id, secretHash },
    names: [],
    spkiHash: '22'.repeat(32),
    provisioner: 'token',
    issuer: 'services',
    notAfter: Number.MAX_SAFE_INTEGER,
  });
  assert.ok(intent.ok);
  const { serialHex } = intent;
  await ledger.issued({ intent: intent.position, serialHex, der: new Uint8Array(1) });
  const order = { by: 'key', reason: 'superseded', orderedBy: 'operator' } as const;
  await ledger.revoke({ ...order, value: '33'.repeat(32) });
  await ledger.revoke({ ...order, value: '44'.repeat(32) });
  return { ledger, serialHex };
}
