import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock } from '@countersign/base';
import { auditLedger } from '../audit-ledger.ts';
import type { LedgerUnderTest } from '../ledger.suite.ts';
import type { IntentDraft, Ledger, LedgerRecord } from '../ledger.ts';
import { verifyAudit } from '../verify-audit.ts';
import { archiveRound } from './keep-retention.ts';
import { defaultRetention } from './retention-config.ts';

const start = Date.UTC(2026, 0, 1);
const hour = 3_600_000;
const day = 24 * hour;
const orders = 'spiffe://example.com/ns/prod/sa/orders';

/** What every ledger does about records that ended long ago. */
export function archiveSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: archive`, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });
    afterEach(async () => {
      const { findings } = await auditLedger(ledger);
      const trail = await verifyAudit(ledger);
      await ledger.close();
      assert.deepEqual([...findings, ...trail.findings], []);
    });

    async function issue(draft: Partial<IntentDraft> = {}): Promise<string> {
      const intent = await ledger.intend({
        grant: { kind: 'operator' },
        spiffeId: orders,
        names: [`uri:${orders}`],
        spkiHash: hashOf('key of orders'),
        provisioner: 'operator',
        issuer: 'services',
        notAfter: now + hour,
        ...draft,
      });
      assert.ok(intent.ok);
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: new Uint8Array([position]) });
      return serialHex;
    }

    async function revoke(serialHex: string): Promise<number> {
      const order = { by: 'serial', value: serialHex, reason: 'superseded' } as const;
      const outcome = await ledger.revoke({ ...order, orderedBy: 'operator' });
      assert.ok(outcome.ok);
      return outcome.record.position;
    }

    async function archive(endedBefore: number, limit = 2, holder = 'this one'): Promise<number> {
      for (let moved = 0; ; ) {
        const turn = await ledger.archiveEnded({ endedBefore, limit, holder, holdMs: 60_000 });
        moved += turn.moved;
        if (turn.next !== 'more') return moved;
      }
    }

    async function everything(): Promise<readonly LedgerRecord[]> {
      return ledger.recordsAfter(0, 1000);
    }

    it('moves what ended, and answers about it by serial, key and position as before', async () => {
      const revoked = await issue();
      const good = await issue({ spkiHash: hashOf('another key') });
      await revoke(revoked);
      const lives = await issue({ notAfter: start + 10 * day });
      await revoke(lives);
      const before = await everything();
      const status = await ledger.status();
      const trail = await ledger.auditAfter(0, 1000);

      now = start + 5 * day;
      // Two certificates and the revocation of one.
      assert.equal(await archive(start + 2 * day), 3);
      assert.deepEqual(await everything(), before);
      assert.deepEqual({ ...(await ledger.status()), audit: 0 }, { ...status, audit: 0 });
      assert.deepEqual((await ledger.auditAfter(0, 1000)).slice(0, trail.length), trail);

      assert.equal((await ledger.certificate(good))?.der.length, 1);
      assert.equal((await ledger.certificateStatus(good)).status, 'good');
      const found = await ledger.certificateStatus(revoked);
      assert.equal(found.status === 'revoked' && found.revocation.value, revoked);
      const ofKey = await ledger.findCertificates({ spkiHash: hashOf('another key') });
      assert.deepEqual(
        ofKey.map((each) => each.serialHex),
        [good],
      );
      const ofName = await ledger.findCertificates({ spiffeId: orders });
      assert.deepEqual(
        ofName.map((each) => each.serialHex),
        [lives],
      );
      const { certificates, revocations, finishedAt } = await ledger.retention();
      assert.deepEqual([certificates, revocations, finishedAt], [2, 1, now]);
    });

    it('gives no serial twice, and ends no intent twice', async () => {
      const serial = await issue();
      const intent = (await ledger.certificate(serial))?.intent ?? 0;
      await issue({ notAfter: start + 10 * day });
      now = start + 5 * day;
      assert.equal(await archive(start + 2 * day), 1);
      const again = { intent, serialHex: serial, der: new Uint8Array([1]) };
      await assert.rejects(ledger.issued(again), { code: 'ERR_LEDGER_STATE' });
      await assert.rejects(ledger.abandoned(intent, 'late'), { code: 'ERR_LEDGER_STATE' });
      await issue();
    });

    it('leaves open intents, blocks, the newest revocation and what is about many', async () => {
      const draft = { grant: { kind: 'operator' }, names: [], spkiHash: hashOf('open') } as const;
      const { notAfter } = { notAfter: now + hour };
      await ledger.intend({ ...draft, provisioner: 'operator', issuer: 'services', notAfter });
      await ledger.revoke({
        by: 'spiffe-id',
        value: orders,
        reason: 'cessationOfOperation',
        block: true,
        orderedBy: 'operator',
      });
      const newest = await revoke(await issue({ spiffeId: undefined, names: [] } as never));
      now = start + 5 * day;
      assert.equal(await archive(start + 2 * day), 1);
      assert.equal((await ledger.openIntents()).length, 1);
      assert.equal((await ledger.blocking('spiffe-id', orders))?.block, true);
      const fed = await ledger.revocationsAfter(0, 10);
      assert.deepEqual([fed.length, fed.at(-1)?.position], [2, newest]);
    });

    it('feeds revocations without a gap to whoever begins anywhere', async () => {
      const lives = await issue({ notAfter: start + 100 * day });
      const ended = [await issue(), await issue(), await issue()];
      const positions = [
        await revoke(ended[0] ?? ''),
        await revoke(lives),
        await revoke(ended[1] ?? ''),
        await revoke(ended[2] ?? ''),
      ];
      const spare = await issue({ notAfter: start + 100 * day });
      positions.push(await revoke(spare));
      now = start + 5 * day;
      await archive(start + 2 * day);
      for (const cursor of [0, ...positions]) {
        let before = cursor;
        for (const { previous, position } of await ledger.revocationsAfter(cursor, 10)) {
          assert.equal(previous, before, `after ${cursor}`);
          before = position;
        }
        assert.equal(before, positions.at(-1));
      }
      const pages = await ledger.revokedAfter({ revocation: 0, intent: 0 }, 100);
      assert.deepEqual(
        pages.rows.map((row) => row.serialHex),
        [lives, spare],
      );
    });

    it('moves tokens that nobody can redeem, and no others', async () => {
      const token = (id: string, expiresAt: number) =>
        ledger.createToken({
          id,
          secretHash: hashOf(id),
          names: [],
          provisioner: 'token',
          expiresAt,
        });
      await token('00000000000000aa', start + hour);
      await token('00000000000000bb', start + 10 * day);
      now = start + 5 * day;
      assert.equal(await archive(start + 2 * day), 1);
      const gone = await ledger.checkToken('00000000000000aa', hashOf('00000000000000aa'));
      assert.equal(gone.ok ? 'there' : gone.code, 'ERR_TOKEN_UNKNOWN');
      const there = await ledger.checkToken('00000000000000bb', hashOf('00000000000000bb'));
      assert.equal(there.ok, true);
    });

    it('is done by one at a time, and goes on where a silent one stopped', async () => {
      for (let i = 0; i < 5; i += 1) await issue();
      now = start + 5 * day;
      const order = { endedBefore: start + 2 * day, limit: 2, holdMs: 60_000 };
      const first = await ledger.archiveEnded({ ...order, holder: 'one' });
      assert.deepEqual([first.moved, first.next], [2, 'more']);
      const other = await ledger.archiveEnded({ ...order, holder: 'two' });
      assert.deepEqual([other.moved, other.next], [0, 'held']);
      now += 60_001;
      assert.equal(await archive(order.endedBefore, 2, 'two'), 3);
      const { certificates, holder } = await ledger.retention();
      assert.deepEqual([certificates, holder], [5, 'two']);
    });

    it('archives nothing that lives by a clock that is right, when the clock jumps ahead', async () => {
      await issue({ notAfter: start + 300 * day });
      now = start + 5000 * day;
      const config = defaultRetention;
      const moved = await archiveRound({ ledger, config, clock }, 'one', async () => true);
      assert.equal(moved, 0);
    });
  });
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
