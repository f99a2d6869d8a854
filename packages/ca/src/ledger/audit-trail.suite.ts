import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock } from '@countersign/base';
import { whileAskedBy } from './asked.ts';
import { exportAudit } from './export-audit.ts';
import type { LedgerUnderTest } from './ledger.suite.ts';
import type { IntentDraft, Ledger } from './ledger.ts';
import { verifyAudit } from './verify-audit.ts';

const start = Date.UTC(2026, 0, 1);
const orders = 'spiffe://example.com/ns/prod/sa/orders';

/** The audit trail of every ledger, whatever it stands on. */
export function auditTrailSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: audit trail`, () => {
    let ledger: Ledger;
    const clock: Clock = { now: () => start, monotonic: () => 0, sleep: async () => {} };
    beforeEach(async () => {
      ledger = await subject.open(clock);
    });
    afterEach(() => ledger.close());

    const draft: IntentDraft = {
      grant: { kind: 'operator' },
      spiffeId: orders,
      names: [`uri:${orders}`],
      spkiHash: '00'.repeat(32),
      provisioner: 'operator',
      issuer: 'services',
      notAfter: start + 3_600_000,
    };

    async function issue(asked: Partial<IntentDraft> = {}): Promise<string> {
      const intent = await ledger.intend({ ...draft, ...asked });
      assert.ok(intent.ok);
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: new Uint8Array([1]) });
      return serialHex;
    }

    async function exported(after = 0): Promise<Record<string, unknown>[]> {
      const lines: string[] = [];
      for await (const page of exportAudit(ledger, after))
        lines.push(...page.trimEnd().split('\n'));
      return lines.map((line) => JSON.parse(line));
    }

    it('says of each decision who asked, from where, by which provisioner, and what was decided', async () => {
      const serial = await whileAskedBy({ by: 'operator' }, () => issue());
      const asked = { by: orders, from: '192.0.2.7' };
      await whileAskedBy(asked, async () => {
        await issue({ grant: { kind: 'renewal', serialHex: serial } });
        await ledger.revoke({
          by: 'serial',
          value: serial,
          reason: 'keyCompromise',
          orderedBy: orders,
        });
      });
      const lines = await exported();
      assert.deepEqual(
        lines.map(({ seq, what, by, from }) => [seq, what, by, from]),
        [
          [1, 'issue', 'operator', undefined],
          [2, 'issued', undefined, undefined],
          [3, 'renew', orders, '192.0.2.7'],
          [4, 'issued', undefined, undefined],
          [5, 'revoke', orders, '192.0.2.7'],
        ],
      );
      assert.equal(lines[2]?.provisioner, 'operator');
      assert.equal(lines[2]?.grantedBy, serial);
      assert.equal(lines[4]?.subject, `serial ${serial}`);
      assert.equal(lines[4]?.at, '2026-01-01T00:00:00.000Z');
      assert.deepEqual((await exported(4)).length, 1);
    });

    it('counts refusals alike in one row, and keeps those of others apart', async () => {
      const refusal = { asked: 'issue', subject: orders, code: 'ERR_POLICY_DNS', detail: 'no' };
      for (const from of ['192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.1']) {
        whileAskedBy({ by: 'anonymous', from }, () => ledger.noteRefusal(refusal));
      }
      const lines = await exported();
      assert.deepEqual(
        lines.map(({ what, asked, by, from, code, count }) => [what, asked, by, from, code, count]),
        [
          ['refused', 'issue', 'anonymous', '192.0.2.1', 'ERR_POLICY_DNS', 3],
          ['refused', 'issue', 'anonymous', '192.0.2.2', 'ERR_POLICY_DNS', undefined],
        ],
      );
    });

    it('does not let strangers fill it, whatever they invent', async () => {
      for (let i = 0; i < 5000; i += 1) {
        ledger.noteRefusal({ asked: 'issue', subject: `x${i}`, code: 'ERR_X', detail: 'y' });
      }
      const lines = await exported();
      assert.ok(lines.length <= 501);
      const refusals = lines.reduce((sum, line) => sum + Number(line.count ?? 1), 0);
      assert.equal(refusals, 5000);
    });

    it('says who took a lease, let it go, or was refused one', async () => {
      const hold = { instance: 'gateway-1', spiffeId: orders, maxSilenceMs: 1000, position: 0 };
      await ledger.holdLease(hold);
      await ledger.holdLease(hold);
      await ledger.holdLease({ ...hold, position: 7 });
      await ledger.releaseLease('gateway-1', orders);
      const lines = await exported();
      assert.deepEqual(lines.map(({ what, subject, code }) => [what, subject, code]).sort(), [
        ['lease', 'gateway-1', undefined],
        ['refused', 'gateway-1', 'ERR_LEDGER_LEASE'],
        ['release', 'gateway-1', undefined],
      ]);
    });

    it('holds, and covers every record', async () => {
      for (let i = 0; i < 5; i += 1) await issue();
      ledger.noteRefusal({ asked: 'issue', code: 'ERR_POLICY_DNS', detail: 'no' });
      await ledger.createToken({
        id: '0000000000000001',
        secretHash: 'ab'.repeat(32),
        names: [],
        provisioner: 'token',
        expiresAt: start + 1000,
      });
      const { findings, rows, records, head } = await verifyAudit(ledger);
      assert.deepEqual(findings, []);
      assert.deepEqual([rows, records], [12, 11]);
      await issue();
      assert.deepEqual((await verifyAudit(ledger, { expect: head })).findings, []);
      const other = { seq: head.seq, hash: 'ff'.repeat(32) };
      assert.match(
        (await verifyAudit(ledger, { expect: other })).findings.join(),
        /^audit row 12: rewritten/,
      );
      const later = { seq: 99, hash: head.hash };
      assert.match(
        (await verifyAudit(ledger, { expect: later })).findings.join(),
        /^audit row 99: missing, it was there before/,
      );
    });
  });
}

export interface Tampering {
  /** What somebody with access to the database does. */
  readonly sql: string;
  readonly finds: RegExp;
}

/** On a ledger of three certificates (six records, six rows): changes that are named. */
export const tamperings: readonly Tampering[] = [
  {
    sql: `UPDATE audit SET said = '{"by":"somebody else"}' WHERE seq = 3`,
    finds: /^audit row 3: changed, or the row before it/m,
  },
  { sql: 'DELETE FROM audit WHERE seq = 3', finds: /^audit row 3: missing/ },
  { sql: 'DELETE FROM audit WHERE seq > 4', finds: /^audit row 5 to 6: missing at the end/ },
  {
    sql: `UPDATE intents SET spiffe_id = 'spiffe://example.com/other' WHERE position = 3`,
    finds: /^ledger record 3 \(intent of "0100000000000003[0-9a-f]{24}"\): changed/m,
  },
  {
    sql: `UPDATE certificates SET at = at + 1 WHERE position = 4`,
    finds: /^ledger record 4 \(issued of "0100000000000003[0-9a-f]{24}"\): changed/m,
  },
  {
    sql: 'DELETE FROM certificates WHERE position = 6',
    finds: /^ledger record 6: missing, audit row 6 is about it/m,
  },
  {
    sql: `INSERT INTO revocations VALUES (7, 0, 0, 'serial', '01', 'superseded', 0, 'nobody')`,
    finds: /^row of "revocations" at 7: slipped in: positions go from 1 to 6/m,
  },
];

/** Three certificates, for {@link tamperings}. */
export async function threeCertificates(ledger: Ledger): Promise<void> {
  for (let i = 0; i < 3; i += 1) {
    const intent = await ledger.intend({
      grant: { kind: 'operator' },
      spiffeId: orders,
      names: [],
      spkiHash: '00'.repeat(32),
      provisioner: 'operator',
      issuer: 'services',
      notAfter: 2 ** 42,
    });
    assert.ok(intent.ok);
    const { position, serialHex } = intent;
    await ledger.issued({ intent: position, serialHex, der: new Uint8Array([1]) });
  }
}
