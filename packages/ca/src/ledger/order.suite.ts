import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type Denial, systemClock } from '@countersign/base';
import type { LedgerUnderTest } from './ledger.suite.ts';
import type { Intent, IntentDraft, Ledger, RevocationOrder } from './ledger.ts';
import { verifyAudit } from './verify-audit.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const payments = 'spiffe://example.com/ns/prod/sa/payments';
const agent = 'spiffe://example.com/ns/infra/sa/agent';
const why = { reason: 'superseded', orderedBy: 'operator' } as const;

/** What every ledger does about orders of registrars, and about keys that come again. */
export function orderSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: orders`, () => {
    let ledger: Ledger;
    beforeEach(async () => {
      ledger = await subject.open(systemClock);
    });
    afterEach(() => ledger.close());

    let keys = 0;
    const freshKey = () => (keys++).toString(16).padStart(64, '0');
    const order = (draft: Partial<IntentDraft>): Promise<Intent | Denial> =>
      ledger.intend({
        grant: { kind: 'operator' },
        spiffeId: orders,
        names: [`uri:${draft.spiffeId ?? orders}`],
        spkiHash: freshKey(),
        provisioner: 'operator',
        issuer: 'services',
        notAfter: systemClock.now() + 3_600_000,
        ...draft,
      });
    async function issue(draft: Partial<IntentDraft>): Promise<Intent> {
      const intent = await order(draft);
      assert.ok(intent.ok, 'detail' in intent ? intent.detail : '');
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: Uint8Array.of(1) });
      return intent;
    }
    const codeOf = (answer: Intent | Denial) => (answer.ok ? 'ordered' : answer.code);
    const revoke = (by: RevocationOrder['by'], value: string, block = false) =>
      ledger.revoke({ by, value, block, ...why });

    it('lets a registrar vouch anew for a name that was revoked, and not for one that is blocked', async () => {
      const { serialHex } = await issue({ spiffeId: agent });
      const grant = { kind: 'registrar', serialHex } as const;
      await revoke('spiffe-id', orders);
      const intent = await issue({ grant, provisioner: agent });
      const record = await ledger.certificate(intent.serialHex);
      assert.deepEqual(
        [record?.grant, record?.grantedBy, record?.provisioner],
        ['registrar', serialHex, agent],
      );
      await revoke('spiffe-id', orders, true);
      assert.equal(codeOf(await order({ grant, provisioner: agent })), 'ERR_LEDGER_BLOCKED');
    });

    it('takes no order of a registrar whose certificate is revoked, or was never issued', async () => {
      const shown = await issue({ spiffeId: agent });
      const grant = { kind: 'registrar', serialHex: shown.serialHex } as const;
      await revoke('serial', shown.serialHex);
      assert.equal(codeOf(await order({ grant })), 'ERR_LEDGER_REVOKED');
      const open = await order({ spiffeId: agent });
      assert.ok(open.ok);
      const unsigned = { kind: 'registrar', serialHex: open.serialHex } as const;
      assert.equal(codeOf(await order({ grant: unsigned })), 'ERR_LEDGER_CERTIFICATE_UNKNOWN');
    });

    it('revokes by its name what a registrar vouched for, renewals included', async () => {
      const { serialHex } = await issue({ spiffeId: agent });
      const grant = { kind: 'registrar', serialHex } as const;
      const first = await issue({ grant, provisioner: agent });
      const renewal = { kind: 'renewal', serialHex: first.serialHex } as const;
      const renewed = await issue({ grant: renewal });
      await revoke('provisioner', agent);
      const { status } = await ledger.certificateStatus(renewed.serialHex);
      assert.equal(status, 'revoked');
    });

    it('gives a key to one identity alone, also where two ask for it at once', async () => {
      const spkiHash = freshKey();
      const strict = { spkiHash, refuseReusedKey: true };
      const answers = await Promise.all([
        order({ ...strict, spiffeId: orders }),
        order({ ...strict, spiffeId: payments }),
      ]);
      assert.deepEqual(answers.map(codeOf).sort(), ['ERR_CSR_KEY_REUSED', 'ordered']);
      const winner = answers[0]?.ok === true ? orders : payments;
      const loser = winner === orders ? payments : orders;
      assert.equal(codeOf(await order({ ...strict, spiffeId: winner })), 'ordered');
      assert.equal(codeOf(await order({ ...strict, spiffeId: loser })), 'ERR_CSR_KEY_REUSED');
      assert.equal(codeOf(await order({ spkiHash, spiffeId: loser })), 'ordered');
    });

    it('keeps the profile that was asked for from one renewal to the next, and in the audit trail', async () => {
      const first = await issue({ profile: 'web' });
      const renew = (serialHex: string, profile?: string) =>
        order({ grant: { kind: 'renewal', serialHex }, profile });
      const silent = await renew(first.serialHex);
      assert.equal(codeOf(silent), 'ERR_POLICY_PROFILE');
      assert.match('detail' in silent ? silent.detail : '', /^profile "web" is that of the/);
      const { serialHex } = await issue({
        grant: { kind: 'renewal', serialHex: first.serialHex },
        profile: 'web',
      });
      const status = await ledger.certificateStatus(serialHex);
      assert.equal(status.status === 'good' && status.certificate.profile, 'web');
      assert.equal((await ledger.certificate(serialHex))?.profile, 'web');
      const [record] = await ledger.recordsAfter(0, 1);
      assert.equal(record?.kind === 'intent' && record.profile, 'web');
      assert.deepEqual((await verifyAudit(ledger)).findings, []);
    });

    it('renews what a long-term key has signed with that key alone, until the key is revoked', async () => {
      const [proofKey, other] = [freshKey(), freshKey()];
      const first = await issue({ proofKey });
      const renew = (serialHex: string, signedBy?: string) =>
        order({ grant: { kind: 'renewal', serialHex }, proofKey: signedBy });
      assert.equal(codeOf(await renew(first.serialHex)), 'ERR_PROOF_MISSING');
      assert.equal(codeOf(await renew(first.serialHex, other)), 'ERR_PROOF_OTHER');
      const renewal = { kind: 'renewal', serialHex: first.serialHex } as const;
      const { serialHex } = await issue({ grant: renewal, proofKey });
      assert.equal((await ledger.certificate(serialHex))?.proofKey, proofKey);
      const status = await ledger.certificateStatus(serialHex);
      assert.equal(status.status === 'good' && status.certificate.proofKey, proofKey);
      const [record] = await ledger.recordsAfter(0, 1);
      assert.equal(record?.kind === 'intent' && record.proofKey, proofKey);
      assert.deepEqual((await verifyAudit(ledger)).findings, []);

      // An identity without one may take one, and belongs to it from then on.
      const free = await issue({});
      const bound = await issue({
        grant: { kind: 'renewal', serialHex: free.serialHex },
        proofKey,
      });
      assert.equal(codeOf(await renew(bound.serialHex)), 'ERR_PROOF_MISSING');

      const revoked = await ledger.revoke({
        ...{ by: 'key', value: proofKey, reason: 'keyCompromise', block: true },
        orderedBy: 'test',
      });
      assert.ok(revoked.ok);
      assert.equal(codeOf(await renew(bound.serialHex, proofKey)), 'ERR_LEDGER_BLOCKED');
    });

    it('revokes with a long-term key what it vouched for, and tells lists and edges so', async () => {
      const [proofKey, other] = [freshKey(), freshKey()];
      const first = await issue({ proofKey });
      const grant = { kind: 'renewal', serialHex: first.serialHex } as const;
      const vouched = [first, await issue({ grant, proofKey }), await issue({ proofKey })];
      const own = await issue({ spkiHash: proofKey });
      const free = [await issue({}), await issue({ proofKey: other })];
      const given = await order({ proofKey });
      assert.ok(given.ok);
      await ledger.abandoned(given.position, 'the token is away');

      const outcome = await revoke('key', proofKey);
      assert.equal(outcome.ok && outcome.matched, 4, JSON.stringify(outcome));
      const later = await issue({ proofKey });
      const statusOf = async ({ serialHex }: Intent) =>
        (await ledger.certificateStatus(serialHex)).status;
      const covered = [...vouched, own].sort((a, b) => a.position - b.position);
      for (const each of covered) assert.equal(await statusOf(each), 'revoked');
      for (const each of [...free, later]) assert.equal(await statusOf(each), 'good');

      const listed: number[] = [];
      for (let cursor = { revocation: 0, intent: 0 }, more = true; more; ) {
        const page = await ledger.revokedAfter(cursor, 2);
        listed.push(...page.rows.map(({ intent }) => intent));
        ({ next: cursor, more } = page);
      }
      const positions = covered.map(({ position }) => position);
      assert.deepEqual(
        listed.filter((each) => each !== given.position),
        positions,
      );
      const { position: below } = await ledger.status();
      const told: number[] = [];
      for (let above = 0, more = true; more; ) {
        const asked = { by: 'key', value: proofKey, above, below, mostRuns: 2 } as const;
        const page = await ledger.coveredRuns(asked);
        told.push(...page.runs);
        ({ upTo: above, more } = page);
      }
      // What edges cannot see for themselves; the record's own cut-off is not asked about here.
      const unseen = [...vouched, given, later].map(({ position }) => position);
      assert.deepEqual(
        told,
        unseen.sort((a, b) => a - b).flatMap((each) => [each, each]),
      );
      assert.deepEqual((await verifyAudit(ledger)).findings, []);
    });

    it('forgets a key whose order was given up', async () => {
      const strict = { spkiHash: freshKey(), refuseReusedKey: true };
      const given = await order({ ...strict, spiffeId: orders });
      assert.ok(given.ok);
      await ledger.abandoned(given.position, 'the token is away');
      assert.equal(codeOf(await order({ ...strict, spiffeId: payments })), 'ordered');
    });
  });
}
