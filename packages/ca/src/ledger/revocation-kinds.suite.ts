import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock, Denial } from '@countersign/base';
import { formatIssuerValue, formatRevocationWindow } from '@countersign/wire';
import { auditLedger } from './audit-ledger.ts';
import type { LedgerUnderTest } from './ledger.suite.ts';
import type { Intent, IntentDraft, Ledger, RevocationOrder, RevokedRow } from './ledger.ts';
import { verifyAudit } from './verify-audit.ts';

const start = Date.UTC(2026, 0, 1);
const minute = 60_000;
const id = (path: string) => `spiffe://example.com/${path}`;
const hash = (digit: string) => digit.repeat(64);
const tokenId = '0123456789abcdef';

/** What every ledger does about what a revocation can name, and about holds. */
export function revocationKindsSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: kinds of revocations`, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });
    afterEach(async () => {
      const [audit, trail] = [await auditLedger(ledger), await verifyAudit(ledger)];
      await ledger.close();
      assert.deepEqual([...audit.findings, ...trail.findings], []);
    });

    function order(path: string, draft: Partial<IntentDraft> = {}): Promise<Intent | Denial> {
      now += minute;
      return ledger.intend({
        grant: { kind: 'operator' },
        spiffeId: id(path),
        names: [`uri:${id(path)}`],
        spkiHash: hash('a'),
        provisioner: 'operator',
        issuer: 'services',
        notAfter: now + 1000 * minute,
        ...draft,
      });
    }

    async function issue(path: string, draft: Partial<IntentDraft> = {}): Promise<Intent> {
      const intent = await order(path, draft);
      assert.ok(intent.ok, JSON.stringify(intent));
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: new Uint8Array([position]) });
      return intent;
    }

    async function enrol(path: string): Promise<Intent> {
      const secretHash = hash('b');
      const grants = { names: [], provisioner: 'operator', expiresAt: now + 100 * minute };
      await ledger.createToken({ id: tokenId, secretHash, spiffeId: id(path), ...grants });
      return issue(path, { grant: { kind: 'token', id: tokenId, secretHash } });
    }

    const renew = ({ serialHex }: Intent, path: string) =>
      issue(path, { grant: { kind: 'renewal', serialHex } });

    function revoke(by: RevocationOrder['by'], value: string, more: Partial<RevocationOrder> = {}) {
      return ledger.revoke({ by, value, reason: 'superseded', orderedBy: 'operator', ...more });
    }

    async function statuses(...intents: Intent[]): Promise<string> {
      const found = await Promise.all(
        intents.map(({ serialHex }) => ledger.certificateStatus(serialHex)),
      );
      return found.map(({ status }) => status).join(' ');
    }

    /** By the index of lists and OCSP, page by page. */
    async function rows(limit = 1): Promise<RevokedRow[]> {
      const found: RevokedRow[] = [];
      for (let cursor = { revocation: 0, intent: 0 }, more = true; more; ) {
        const page = await ledger.revokedAfter(cursor, limit);
        found.push(...page.rows);
        ({ next: cursor, more } = page);
      }
      return found;
    }

    async function runsOf(by: RevocationOrder['by'], value: string): Promise<readonly number[]> {
      const { position: below } = await ledger.status();
      const question = { by, value, above: 0, below: below + 1, mostRuns: 10 };
      return (await ledger.coveredRuns(question)).runs;
    }

    it('covers by prefix what is below it and was ordered before, open intents included', async () => {
      const [below, beside] = [await issue('ns/prod/a'), await issue('ns/production')];
      const open = await order('ns/prod/b');
      assert.ok(open.ok);
      const outcome = await revoke('spiffe-prefix', id('ns/prod/'));
      assert.ok(outcome.ok && outcome.matched === 2, JSON.stringify(outcome));
      const later = await issue('ns/prod/c');
      assert.equal(await statuses(below, open, beside, later), 'revoked revoked good good');
      assert.deepEqual(
        (await rows()).map(({ intent }) => intent),
        [below.position, open.position],
      );
      const refused = await order('ns/prod/a', {
        grant: { kind: 'renewal', serialHex: below.serialHex },
      });
      assert.equal(!refused.ok && refused.code, 'ERR_LEDGER_REVOKED');
      await ledger.abandoned(open.position, 'test');
    });

    it('blocks a prefix and an issuer for good', async () => {
      await revoke('spiffe-prefix', id('ns/prod/'), { block: true });
      const keys = [hash('c')];
      await revoke('issuer', formatIssuerValue({ name: 'old', keys }), { reason: 'cACompromise' });
      for (const refused of [await order('ns/prod/a'), await order('x', { issuer: 'old' })]) {
        assert.equal(!refused.ok && refused.code, 'ERR_LEDGER_BLOCKED');
      }
      assert.equal((await ledger.blocking('spiffe-id', id('ns/prod/a')))?.by, 'spiffe-prefix');
      assert.ok(await issue('ns/test/a'));
    });

    it('covers by issuer what it signed; where its key is lost, the certificate of that key too', async () => {
      const issuer = await issue('i', { issuer: 'root', spkiHash: hash('c'), provisioner: 'init' });
      const [signed, other] = [await issue('a', { issuer: 'old' }), await issue('b')];
      const value = formatIssuerValue({ name: 'old', keys: [hash('c')] });
      await revoke('issuer', value);
      assert.equal(await statuses(signed, other, issuer), 'revoked good good');
      await revoke('issuer', value, { reason: 'keyCompromise' });
      assert.equal(await statuses(signed, other, issuer), 'revoked good revoked');
    });

    it('covers by token what began with it, through every renewal, and voids one that is not redeemed', async () => {
      const other = await issue('a');
      const first = await enrol('a');
      const second = await renew(await renew(first, 'a'), 'a');
      const elsewhere = await renew(other, 'a');
      const outcome = await revoke('token', tokenId);
      assert.ok(outcome.ok && outcome.matched === 3, JSON.stringify(outcome));
      assert.equal(await statuses(first, second, other, elsewhere), 'revoked revoked good good');
      assert.deepEqual(await runsOf('token', tokenId), [first.position, second.position]);
      const unspent = 'fedcba9876543210';
      const token = { names: [], provisioner: 'operator', expiresAt: now + minute };
      await ledger.createToken({ id: unspent, secretHash: hash('d'), spiffeId: id('a'), ...token });
      await revoke('token', unspent);
      const checked = await ledger.checkToken(unspent, hash('d'));
      assert.equal(!checked.ok && checked.code, 'ERR_TOKEN_VOID');
    });

    it('covers by time what was ordered then, alone or of something else, and nothing of the authority itself', async () => {
      const own = await issue('countersign/ca', { provisioner: 'authority' });
      const early = await issue('a');
      const from = now + 1;
      const [a, b] = [await issue('a'), await issue('b')];
      const before = now + 1;
      const late = await issue('a');
      const span = { after: from, before };
      const and = { by: 'spiffe-id', value: id('a') } as const;
      await revoke('time', formatRevocationWindow({ ...span, and }));
      assert.equal(await statuses(own, early, a, b, late), 'good good revoked good good');
      const outcome = await revoke('time', formatRevocationWindow({ before }));
      assert.ok(outcome.ok && outcome.matched === 3, JSON.stringify(outcome));
      assert.equal(await statuses(own, early, a, b, late), 'good revoked revoked revoked good');
      const value = formatRevocationWindow({ after: from });
      assert.deepEqual(await runsOf('time', value), [a.position, late.position]);
    });

    it('holds and releases, and says so to lists in their order', async () => {
      const [held, other] = [await issue('a'), await issue('b')];
      const release = { reason: 'removeFromCRL' } as const;
      const hold = { reason: 'certificateHold' } as const;
      const early = await revoke('serial', held.serialHex, release);
      assert.equal(!early.ok && early.code, 'ERR_LEDGER_NOT_HELD');
      assert.ok((await revoke('serial', held.serialHex, hold)).ok);
      const again = await revoke('serial', held.serialHex, hold);
      assert.ok(again.ok && again.repeated);
      assert.ok((await revoke('spiffe-prefix', id(''), hold)).ok);
      assert.equal(await statuses(held, other), 'revoked revoked');
      // Another hold is another hold.
      assert.ok((await revoke('serial', held.serialHex, release)).ok);
      assert.equal(await statuses(held, other), 'revoked revoked');
      const wrong = await revoke('serial', held.serialHex, release);
      assert.ok(!wrong.ok && /on hold by spiffe-prefix/.test(wrong.detail), JSON.stringify(wrong));
      assert.ok((await revoke('spiffe-prefix', id(''), release)).ok);
      assert.equal(await statuses(held, other), 'good good');
      const last = new Map((await rows(2)).map(({ intent, reason }) => [intent, reason]));
      assert.deepEqual([...last.values()], ['removeFromCRL', 'removeFromCRL']);
      assert.ok(await renew(held, 'a'));
    });

    it('keeps what is revoked for good through a hold and its release', async () => {
      const one = await issue('a');
      await revoke('spiffe-id', id('a'));
      await revoke('spiffe-id', id('a'), { reason: 'certificateHold' });
      await revoke('spiffe-id', id('a'), { reason: 'removeFromCRL' });
      assert.equal(await statuses(one), 'revoked');
      const final = await revoke('spiffe-id', id('a'), { reason: 'removeFromCRL' });
      assert.ok(!final.ok && /revoked for good/.test(final.detail));
      const blocked = { reason: 'certificateHold', block: true } as const;
      const hold = await revoke('spiffe-id', id('b'), blocked);
      assert.equal(!hold.ok && hold.code, 'ERR_LEDGER_ORDER');
    });

    it('answers a repeat of what is blocked with the block, which stays whatever is ordered after it', async () => {
      const signer = formatIssuerValue({ name: 'services', keys: [hash('c')] });
      for (const [by, value] of [
        ['key', hash('d')],
        ['spiffe-prefix', id('ns/prod/')],
        ['issuer', signer],
      ] as const) {
        const block = await revoke(by, value, { block: true });
        assert.ok(block.ok);
        for (const reason of ['keyCompromise', 'superseded', 'certificateHold'] as const) {
          const again = await revoke(by, value, { reason });
          assert.ok(again.ok && again.repeated, `${by} ${reason}`);
          assert.equal(again.record.position, block.record.position);
        }
      }
      assert.equal((await ledger.status()).revocations, 3);
      const refusals = [
        await order('b', { spkiHash: hash('d'), issuer: 'others' }),
        await order('ns/prod/a', { issuer: 'others' }),
        await order('b'),
      ];
      for (const refused of refusals) {
        assert.equal(!refused.ok && refused.code, 'ERR_LEDGER_BLOCKED');
      }
    });

    it('tells what is covered as runs that nobody else is in, and pages of them', async () => {
      const mine = { provisioner: 'mine' };
      const all: Intent[] = [];
      for (const draft of [mine, mine, {}, mine, {}, mine]) all.push(await issue('a', draft));
      const at = (i: number) => all[i]?.position ?? 0;
      const runs = await runsOf('provisioner', 'mine');
      assert.deepEqual(runs, [at(0), at(1), at(3), at(3), at(5), at(5)]);
      const { position: below } = await ledger.status();
      const question = { by: 'provisioner', value: 'mine', below, mostRuns: 1 } as const;
      const paged: number[] = [];
      for (let above = 0, more = true; more; ) {
        const page = await ledger.coveredRuns({ ...question, above });
        paged.push(...page.runs);
        ({ upTo: above, more } = page);
      }
      assert.deepEqual(paged, runs);
      const ends = await ledger.endsOf([all[0]?.serialHex ?? '', '01ff']);
      assert.deepEqual(ends, [start + 1001 * minute, undefined]);
    });
  });
}
