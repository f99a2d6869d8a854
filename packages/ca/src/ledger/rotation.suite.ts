import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock } from '@countersign/base';
import type { LedgerUnderTest } from './ledger.suite.ts';
import type { Ledger } from './ledger.ts';

const start = Date.UTC(2026, 0, 1);
const said = { by: 'operator', asked: 'prepare', subject: 'root', detail: 'generation 2' };
const change = { name: 'hierarchy', replaces: 0, body: 'one', said, forgetsHolders: false };

/** What every ledger does about shared documents, and about who holds which trust bundle. */
export function rotationSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: rotation`, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });
    afterEach(() => ledger.close());

    async function issue(sa: string, notAfter = start + 60_000, renewed?: string): Promise<string> {
      const spiffeId = `spiffe://example.com/sa/${sa}`;
      const intent = await ledger.intend({
        grant:
          renewed === undefined ? { kind: 'operator' } : { kind: 'renewal', serialHex: renewed },
        spiffeId,
        names: [`uri:${spiffeId}`],
        spkiHash: 'ab'.repeat(32),
        provisioner: 'admin',
        issuer: 'services',
        notAfter,
      });
      assert.ok(intent.ok);
      const { position, serialHex } = intent;
      await ledger.issued({ intent: position, serialHex, der: Uint8Array.of(1, 2, 3) });
      return serialHex;
    }

    const live = async () => {
      const found = [];
      for (let after: number | undefined = 0; after !== undefined; ) {
        const page = await ledger.liveCertificates(after, 2);
        found.push(...page.certificates);
        after = page.next;
      }
      return found.map(({ spiffeId, holder }) => [spiffeId?.split('/').at(-1), holder?.digest]);
    };

    it('changes a document for whoever has seen the version before, and for nobody else', async () => {
      assert.equal(await ledger.document('hierarchy'), undefined);
      const both = await Promise.all([
        ledger.changeDocument(change),
        ledger.changeDocument({ ...change, body: 'other' }),
      ]);
      assert.deepEqual(
        both.map((each) => (each.ok ? each.version : each.code)),
        [1, 'ERR_LEDGER_DOCUMENT'],
      );
      await ledger.changeDocument({ ...change, replaces: 1, body: 'two' });
      const found = await ledger.document('hierarchy');
      assert.deepEqual(found, { name: 'hierarchy', version: 2, body: 'two' });
      const rows = await ledger.auditAfter(0, 10);
      assert.deepEqual(
        rows.map((row) => JSON.parse(row.said)),
        ['one', 'two'].map((body, i) => {
          const document = { name: 'hierarchy', version: i + 1, hash: hash('sha256', body) };
          return { at: start, what: 'rotation', ...said, document };
        }),
      );
    });

    it('puts a copy back under a version that no other copy has', async () => {
      const changed = await ledger.changeDocument({ ...change, newerThan: 7 });
      assert.deepEqual(changed, { ok: true, version: 8 });
      assert.equal((await ledger.document('hierarchy'))?.version, 8);
      const next = { ...change, body: 'two', replaces: 8, newerThan: 7 };
      assert.deepEqual(await ledger.changeDocument(next), { ok: true, version: 9 });
    });

    it('tells certificates that are neither over nor revoked, with what their holders said', async () => {
      const first = await issue('orders');
      const second = await issue('payments');
      await issue('past', start + 10);
      const revoked = await issue('stolen');
      const order = { by: 'serial', value: revoked, reason: 'keyCompromise' } as const;
      await ledger.revoke({ ...order, orderedBy: 'operator' });
      await issue('search');
      now += 20;
      await ledger.reportBundle({ serialHex: first, instance: '', digest: 'old' });
      await ledger.reportBundle({ serialHex: first, instance: '', digest: 'new' });
      await ledger.reportBundle({ serialHex: second, instance: 'gw-1', digest: 'new' });
      await ledger.reportBundle({ serialHex: `01${'00'.repeat(19)}`, instance: '', digest: 'new' });
      assert.deepEqual(await live(), [
        ['orders', 'new'],
        ['payments', undefined],
        ['search', undefined],
      ]);
      const [gateway, ...others] = await ledger.leaseHolders();
      assert.deepEqual(others, []);
      assert.deepEqual([gateway?.instance, gateway?.digest, gateway?.at], ['gw-1', 'new', now]);
    });

    it('tells tokens that could be redeemed', async () => {
      const token = (name: string, endsInMs = 1000) =>
        ledger.createToken({
          ...{ id: name, secretHash: hash('sha256', name), names: [], provisioner: 'operator' },
          spiffeId: `spiffe://example.com/${name}`,
          expiresAt: now + endsInMs,
        });
      const held = '0123456789abcdef';
      for (const name of ['open', 'spent', 'void', held]) await token(name);
      await token('over', 10);
      const grant = { kind: 'token', id: 'spent', secretHash: hash('sha256', 'spent') } as const;
      const draft = { grant, names: [], provisioner: 'operator', issuer: 'services' };
      const spkiHash = hash('sha256', 'key');
      const spiffeId = 'spiffe://example.com/spent';
      assert.ok((await ledger.intend({ ...draft, spiffeId, spkiHash, notAfter: now + 9000 })).ok);
      const reason = 'keyCompromise' as const;
      const by = 'spiffe-id' as const;
      const orderedBy = 'operator';
      await ledger.revoke({ by, value: 'spiffe://example.com/void', reason, orderedBy });
      await ledger.revoke({ by: 'token', value: held, reason, orderedBy });
      now += 20;
      await token('later');
      const { tokens, next } = await ledger.openTokens(0, 100);
      assert.deepEqual([tokens.map(({ id }) => id), next], [['open', 'later'], undefined]);
      // Page by page, whatever of each could be redeemed.
      const found: string[] = [];
      for (let after: number | undefined = 0; after !== undefined; ) {
        const each = await ledger.openTokens(after, 1);
        assert.ok(each.tokens.length <= 1);
        found.push(...each.tokens.map(({ id }) => id));
        after = each.next;
      }
      assert.deepEqual(found, ['open', 'later']);
    });

    it('forgets what was said of bundles when a change says so', async () => {
      const serialHex = await issue('orders');
      await ledger.reportBundle({ serialHex, instance: '', digest: 'new' });
      await ledger.reportBundle({ serialHex, instance: 'gw-1', digest: 'new' });
      await ledger.changeDocument({ ...change, forgetsHolders: true });
      assert.deepEqual(await live(), [['orders', undefined]]);
      assert.deepEqual(await ledger.leaseHolders(), []);
    });
  });
}
