import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock, Denial } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe';
import { auditLedger } from './audit-ledger.ts';
import type { Grant, Intent, IntentDraft, Ledger, RevocationOrder, TokenDraft } from './ledger.ts';
import { verifyAudit } from './verify-audit.ts';

export interface LedgerUnderTest {
  open(clock: Clock): Promise<Ledger>;
}

type TokenGrant = Extract<Grant, { kind: 'token' }>;

const start = Date.UTC(2026, 0, 1);
const hour = 3_600_000;
const orders = 'spiffe://example.com/ns/prod/sa/orders';
const payments = 'spiffe://example.com/ns/prod/sa/payments';

/** What every ledger does, whatever it stands on. */
export function ledgerSuite(name: string, subject: LedgerUnderTest): void {
  describe(name, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });

    afterEach(async () => {
      const audit = await auditLedger(ledger);
      const trail = await verifyAudit(ledger);
      await ledger.close();
      assert.deepEqual([...audit.findings, ...trail.findings], []);
      assert.equal(trail.records, audit.records);
    });

    async function order(draft: Partial<IntentDraft> = {}): Promise<Intent | Denial> {
      return ledger.intend({
        grant: { kind: 'operator' },
        spiffeId: orders,
        names: [`uri:${orders}`],
        spkiHash: hashOf('key of orders'),
        provisioner: 'operator',
        issuer: 'services',
        notAfter: now + hour,
        ...draft,
      });
    }

    async function issue(draft: Partial<IntentDraft> = {}): Promise<Intent> {
      const intent = granted(await order(draft));
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: new Uint8Array([position]) });
      return intent;
    }

    async function token(id: string, draft: Partial<TokenDraft> = {}): Promise<TokenGrant> {
      const secretHash = hashOf(`secret of ${id}`);
      await ledger.createToken({
        id,
        secretHash,
        spiffeId: orders,
        names: [],
        provisioner: 'token',
        expiresAt: now + hour,
        ...draft,
      });
      return { kind: 'token', id, secretHash };
    }

    async function revoke(revocation: Partial<RevocationOrder>) {
      const outcome = await ledger.revoke({
        by: 'spiffe-id',
        value: orders,
        reason: 'superseded',
        orderedBy: 'operator',
        ...revocation,
      });
      assert.ok(outcome.ok);
      return outcome;
    }

    it('writes the position of the intent into the serial', async () => {
      const first = await issue();
      const second = await issue();
      assert.equal(first.serial.byteLength, 20);
      assert.equal(positionOfSerial(first.serial), first.position);
      assert.equal(positionOfSerial(second.serial), second.position);
      assert.notEqual(first.serialHex, second.serialHex);
    });

    it('finds an issued certificate again by serial, SPIFFE ID and key', async () => {
      const { position, serialHex } = await issue();
      await issue({ spiffeId: payments, spkiHash: hashOf('key of payments') });
      const found = await ledger.certificate(serialHex);
      assert.equal(found?.intent, position);
      assert.deepEqual([...(found?.der ?? [])], [position]);
      assert.deepEqual(found?.names, [`uri:${orders}`]);
      const bySpiffeId = await ledger.findCertificates({ spiffeId: orders });
      assert.deepEqual(
        bySpiffeId.map((one) => one.serialHex),
        [serialHex],
      );
      assert.equal((await ledger.findCertificates({})).length, 2);
      assert.equal((await ledger.findCertificates({ validAt: now + hour })).length, 0);
      assert.equal((await ledger.findCertificates({ limit: 1 })).length, 1);
      const byKey = await ledger.findCertificates({ spkiHash: hashOf('key of payments') });
      assert.equal(byKey[0]?.spiffeId, payments);
    });

    it('knows nothing of a serial that it never ordered', async () => {
      assert.equal(await ledger.certificate('01'), undefined);
      const forged = `01${'0'.repeat(13)}1${'ab'.repeat(12)}`;
      await issue();
      assert.deepEqual(await ledger.certificateStatus(forged), { status: 'unknown' });
    });

    it('keeps an intent open until it is issued or abandoned, and ends it once', async () => {
      const open = granted(await order());
      assert.deepEqual(
        (await ledger.openIntents()).map((one) => one.position),
        [open.position],
      );
      await ledger.abandoned(open.position, 'crashed before signing');
      assert.deepEqual(await ledger.openIntents(), []);
      const again = { intent: open.position, serialHex: open.serialHex, der: new Uint8Array(1) };
      await assert.rejects(ledger.issued(again), { code: 'ERR_LEDGER_STATE' });
      await assert.rejects(ledger.abandoned(open.position, 'twice'), { code: 'ERR_LEDGER_STATE' });
      await assert.rejects(ledger.abandoned(999, 'never'), { code: 'ERR_LEDGER_STATE' });
    });

    it('refuses a certificate under another serial than its intent', async () => {
      const intent = granted(await order());
      const wrong = { intent: intent.position, serialHex: '01ff', der: new Uint8Array(1) };
      await assert.rejects(ledger.issued(wrong), { code: 'ERR_LEDGER_STATE' });
      await ledger.abandoned(intent.position, 'wrong serial');
    });

    it('redeems a token once', async () => {
      const grant = await token('0000000000000001');
      const intent = granted(await order({ grant }));
      assert.equal(refusalOf(await order({ grant })), 'ERR_TOKEN_SPENT');
      const checked = await ledger.checkToken('0000000000000001', hashOf('secret of x'));
      assert.equal(refusalOf(checked), 'ERR_TOKEN_UNKNOWN');
      await ledger.abandoned(intent.position, 'test');
    });

    it('redeems a token once among many who ask at the same time', async () => {
      const grant = await token('0000000000000001');
      const answers = await Promise.all(Array.from({ length: 20 }, () => order({ grant })));
      assert.equal(answers.filter((answer) => answer.ok).length, 1);
      assert.ok(answers.every((answer) => answer.ok || answer.code === 'ERR_TOKEN_SPENT'));
    });

    it('says the same of an unknown token and of a wrong secret', async () => {
      await token('0000000000000001');
      const wrong = await ledger.checkToken('0000000000000001', hashOf('guess'));
      const unknown = await ledger.checkToken('0000000000000002', hashOf('guess'));
      const malformed = await ledger.checkToken('0000000000000001', 'no hash');
      assert.equal(refusalOf(wrong), 'ERR_TOKEN_UNKNOWN');
      assert.equal(refusalOf(unknown), 'ERR_TOKEN_UNKNOWN');
      assert.equal(refusalOf(malformed), 'ERR_TOKEN_UNKNOWN');
    });

    it('ends a token at its time and not before', async () => {
      const grant = await token('0000000000000001', { expiresAt: start + 1000 });
      now = start + 999;
      assert.ok((await ledger.checkToken('0000000000000001', grant.secretHash)).ok);
      now = start + 1000;
      assert.equal(refusalOf(await order({ grant })), 'ERR_TOKEN_EXPIRED');
    });

    it('does not let one refusal spoil what is asked for at the same time', async () => {
      const grant = await token('0000000000000001');
      granted(await order({ grant }));
      const [refused, broken, fine] = await Promise.allSettled([
        order({ grant }),
        ledger.abandoned(12345, 'no such intent'),
        order(),
      ]);
      assert.equal(refused.status === 'fulfilled' && refused.value.ok, false);
      assert.equal(broken.status, 'rejected');
      assert.equal(fine.status === 'fulfilled' && fine.value.ok, true);
    });

    it('does not accept a second token under one id', async () => {
      await token('0000000000000001');
      await assert.rejects(token('0000000000000001'), { code: 'ERR_LEDGER_STATE' });
    });

    it('chains revocations by their previous position and tells listeners the head', async () => {
      const heads: number[] = [];
      const end = ledger.onCommit((head) => heads.push(head));
      const first = await revoke({});
      await issue({ spiffeId: payments });
      const second = await revoke({ value: payments });
      end();
      const third = await revoke({ value: payments });
      assert.equal(first.record.previous, 0);
      assert.equal(second.record.previous, first.record.position);
      assert.equal(third.record.previous, second.record.position);
      assert.deepEqual(heads, [first.record.position, second.record.position]);
      const after = await ledger.revocationsAfter(first.record.position, 1);
      assert.deepEqual(after, [second.record]);
      assert.equal((await ledger.status()).revocationPosition, third.record.position);
    });

    it('survives a listener that throws', async () => {
      const heads: number[] = [];
      ledger.onCommit(() => {
        throw new Error('listener broken');
      });
      ledger.onCommit((head) => heads.push(head));
      const { record } = await revoke({});
      assert.deepEqual(heads, [record.position]);
    });

    it('covers by serial that certificate alone, and answers the earlier record when asked again', async () => {
      const first = await issue();
      const other = await issue();
      const outcome = await revoke({ by: 'serial', value: first.serialHex });
      assert.equal(outcome.matched, 1);
      const again = await revoke({ by: 'serial', value: first.serialHex, reason: 'keyCompromise' });
      assert.deepEqual(again, { ...outcome, repeated: true });
      assert.equal((await ledger.certificateStatus(first.serialHex)).status, 'revoked');
      assert.equal((await ledger.certificateStatus(other.serialHex)).status, 'good');
      const renewal = { kind: 'renewal', serialHex: first.serialHex } as const;
      assert.equal(refusalOf(await order({ grant: renewal })), 'ERR_LEDGER_REVOKED');
      granted(await order({ grant: { kind: 'renewal', serialHex: other.serialHex } }));
    });

    it('covers by SPIFFE ID what was ordered before, open intents included, and nothing after', async () => {
      const before = await issue();
      const open = granted(await order());
      const innocent = await issue({ spiffeId: payments });
      const { matched, record } = await revoke({});
      const after = await issue();
      await ledger.issued({
        intent: open.position,
        serialHex: open.serialHex,
        der: new Uint8Array(1),
      });
      assert.equal(matched, 2);
      const status = await ledger.certificateStatus(before.serialHex);
      assert.equal(status.status === 'revoked' && status.revocation.position, record.position);
      assert.equal((await ledger.certificateStatus(open.serialHex)).status, 'revoked');
      assert.equal((await ledger.certificateStatus(innocent.serialHex)).status, 'good');
      assert.equal((await ledger.certificateStatus(after.serialHex)).status, 'good');
    });

    it('wants a token newer than the revocation of its SPIFFE ID', async () => {
      const old = await token('0000000000000001');
      const before = await issue();
      await revoke({});
      const renewal = { kind: 'renewal', serialHex: before.serialHex } as const;
      assert.equal(refusalOf(await order({ grant: renewal })), 'ERR_LEDGER_REVOKED');
      assert.equal(refusalOf(await order({ grant: old })), 'ERR_TOKEN_VOID');
      const checked = await ledger.checkToken('0000000000000001', old.secretHash);
      assert.equal(refusalOf(checked), 'ERR_TOKEN_VOID');
      const fresh = await issue({ grant: await token('0000000000000002') });
      const next = { kind: 'renewal', serialHex: fresh.serialHex } as const;
      granted(await order({ grant: next }));
    });

    it('does not let a renewal slip under a SPIFFE ID that was revoked since', async () => {
      const mine = await issue({ spiffeId: payments });
      await revoke({});
      const grant = { kind: 'renewal', serialHex: mine.serialHex } as const;
      assert.equal(refusalOf(await order({ grant, spiffeId: orders })), 'ERR_LEDGER_NEEDS_TOKEN');
    });

    it('blocks a SPIFFE ID for good where asked to', async () => {
      await revoke({ value: payments });
      const grant = await token('0000000000000001');
      const { record } = await revoke({ block: true });
      assert.deepEqual(await ledger.blocking('spiffe-id', orders), record);
      assert.equal(await ledger.blocking('spiffe-id', payments), undefined);
      assert.equal(refusalOf(await order({ grant })), 'ERR_LEDGER_BLOCKED');
      assert.equal(refusalOf(await order()), 'ERR_LEDGER_BLOCKED');
      await revoke({});
      assert.equal(refusalOf(await order()), 'ERR_LEDGER_BLOCKED');
      granted(await order({ spiffeId: payments }));
      const checked = await ledger.checkToken('0000000000000001', grant.secretHash);
      assert.equal(refusalOf(checked), 'ERR_TOKEN_VOID');
    });

    it('covers and blocks a compromised key under every name', async () => {
      const spkiHash = hashOf('shared key');
      const one = await issue({ spkiHash });
      const two = await issue({ spkiHash, spiffeId: payments });
      const { record, matched } = await revoke({
        by: 'key',
        value: spkiHash,
        reason: 'keyCompromise',
      });
      assert.equal(record.block, true);
      assert.equal(matched, 2);
      assert.equal((await ledger.certificateStatus(one.serialHex)).status, 'revoked');
      assert.equal((await ledger.certificateStatus(two.serialHex)).status, 'revoked');
      assert.equal(refusalOf(await order({ spkiHash })), 'ERR_LEDGER_BLOCKED');
      granted(await order());
    });

    it('covers what a provisioner vouched for, through renewals', async () => {
      const enrolled = await issue({
        grant: await token('0000000000000001'),
        provisioner: 'token',
      });
      const renewal = { kind: 'renewal', serialHex: enrolled.serialHex } as const;
      const renewed = await issue({ grant: renewal, provisioner: 'something else' });
      assert.equal(renewed.provisioner, 'token');
      const { matched } = await revoke({ by: 'provisioner', value: 'token' });
      assert.equal(matched, 2);
      assert.equal((await ledger.certificateStatus(renewed.serialHex)).status, 'revoked');
    });

    it('names what revocations cover, page by page, once for each of them', async () => {
      const first = await issue();
      const open = granted(await order());
      const other = await issue({ spiffeId: payments, spkiHash: hashOf('key of payments') });
      const byId = await revoke({ value: orders, reason: 'superseded' });
      const after = await issue();
      const bySerial = await revoke({
        by: 'serial',
        value: other.serialHex,
        reason: 'keyCompromise',
      });
      await revoke({ by: 'key', value: hashOf('of nobody') });
      const byProvisioner = await revoke({ by: 'provisioner', value: 'operator' });
      const expected = [
        [byId, first],
        [byId, open],
        [bySerial, other],
        ...[first, open, other, after].map((intent) => [byProvisioner, intent] as const),
      ] as const;
      for (const limit of [1, 2, 3, 100]) {
        let page = await ledger.revokedAfter({ revocation: 0, intent: 0 }, limit);
        const rows = [...page.rows];
        for (let pages = 0; page.more && pages < 20; pages += 1) {
          page = await ledger.revokedAfter(page.next, limit);
          rows.push(...page.rows);
        }
        assert.equal(page.more, false);
        assert.deepEqual(
          rows.map((row) => [row.revocation, row.intent, row.serialHex]),
          expected.map(([by, intent]) => [by.record.position, intent.position, intent.serialHex]),
          `pages of ${limit}`,
        );
        assert.deepEqual((await ledger.revokedAfter(page.next, limit)).rows, []);
        const { at, reason, issuer, notAfter } = rows[2] ?? assert.fail();
        assert.deepEqual(
          { at, reason, issuer, notAfter },
          { at: now, reason: 'keyCompromise', issuer: 'services', notAfter: now + hour },
        );
      }
      const fresh = await issue();
      const end = (await ledger.revokedAfter({ revocation: 0, intent: 0 }, 100)).next;
      const newest = await revoke({ by: 'serial', value: fresh.serialHex });
      const { rows } = await ledger.revokedAfter(end, 100);
      assert.deepEqual(
        rows.map((row) => [row.revocation, row.intent]),
        [[newest.record.position, fresh.position]],
      );
    });

    it('refuses to renew what it never issued', async () => {
      const open = granted(await order());
      const grant = { kind: 'renewal', serialHex: open.serialHex } as const;
      assert.equal(refusalOf(await order({ grant })), 'ERR_LEDGER_CERTIFICATE_UNKNOWN');
    });

    it('refuses a revocation that names nothing', async () => {
      const serial: RevocationOrder = {
        by: 'serial',
        value: 'ff',
        reason: 'superseded',
        orderedBy: 'operator',
      };
      assert.equal(refusalOf(await ledger.revoke(serial)), 'ERR_LEDGER_CERTIFICATE_UNKNOWN');
      const malformed = { ...serial, value: 'not hex' };
      assert.equal(refusalOf(await ledger.revoke(malformed)), 'ERR_LEDGER_ORDER');
      const { serialHex } = await issue();
      const blocked = { ...serial, value: serialHex, block: true };
      assert.equal(refusalOf(await ledger.revoke(blocked)), 'ERR_LEDGER_ORDER');
      assert.equal((await ledger.status()).revocations, 0);
    });

    it('previews a revocation without a record', async () => {
      await issue();
      await issue({ notAfter: now + 1 });
      now += 2;
      const order: RevocationOrder = {
        by: 'spiffe-id',
        value: orders,
        reason: 'superseded',
        orderedBy: 'operator',
      };
      const preview = await ledger.previewRevocation(order);
      assert.deepEqual(preview, { ok: true, matched: 1, earlier: undefined });
      assert.equal((await ledger.status()).revocations, 0);
    });

    it('shows every reader positions without a gap while many write', async () => {
      let seen = 0;
      const reading = (async () => {
        while (seen < 60) {
          for (const record of await ledger.recordsAfter(seen, 1000)) {
            assert.equal(record.position, seen + 1);
            seen = record.position;
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const writing = Array.from({ length: 20 }, async (_, index) => {
        await issue({ spiffeId: `${orders}/${index}` });
        await revoke({ value: `${orders}/${index}` });
      });
      await Promise.all([reading, ...writing]);
      assert.equal(seen, 60);
    });

    it('refuses everything once closed', async () => {
      await ledger.close();
      await assert.rejects(ledger.status(), { code: 'ERR_LEDGER_CLOSED' });
      ledger = await subject.open(clock);
    });
  });
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function granted(answer: Intent | Denial): Intent {
  if (!answer.ok) assert.fail(`refused: ${answer.code} ${answer.detail}`);
  return answer;
}

function refusalOf(answer: { readonly ok: true } | Denial): string {
  if (answer.ok) assert.fail('accepted');
  return answer.code;
}
