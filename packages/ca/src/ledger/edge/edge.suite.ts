import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Clock } from '@countersign/base';
import type { LedgerUnderTest } from '../ledger.suite.ts';
import type { Ledger } from '../ledger.ts';
import type { EdgeChange } from './edge-records.ts';

const start = Date.UTC(2026, 0, 1);

/** What every ledger does about the records of edges. */
export function edgeSuite(name: string, subject: LedgerUnderTest): void {
  describe(`${name}: records of edges`, () => {
    let now = start;
    let ledger: Ledger;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

    beforeEach(async () => {
      now = start;
      ledger = await subject.open(clock);
    });
    afterEach(() => ledger.close());

    const fresh = (id: string, more: Partial<EdgeChange> = {}): EdgeChange => ({
      ...{ kind: 'order', id, replaces: 0, owner: 'alice', expiresAt: start + 1000, body: '{}' },
      ...more,
    });
    const ids = async (after = '', limit = 10) => {
      const query = { kind: 'order', owner: 'alice', after, limit };
      return (await ledger.edgeRecords(query)).map(({ id }) => id);
    };

    it('takes several changes together, or none where one was overtaken', async () => {
      assert.deepEqual(await ledger.changeEdge([fresh('a'), fresh('b')]), { ok: true });
      const both = await Promise.all([
        ledger.changeEdge([fresh('c'), fresh('a', { replaces: 1, body: 'first' })]),
        ledger.changeEdge([fresh('d'), fresh('a', { replaces: 1, body: 'second' })]),
      ]);
      assert.deepEqual(
        both.map((each) => (each.ok ? 'ok' : each.code)),
        ['ok', 'ERR_LEDGER_EDGE_RECORD'],
      );
      const found = await ledger.edgeRecord('order', 'a');
      assert.deepEqual([found?.version, found?.body, found?.owner], [2, 'first', 'alice']);
      assert.deepEqual(await ids(), ['a', 'b', 'c']);
    });

    it('makes what is used once, and keeps an owner that a change leaves out', async () => {
      const nonce = fresh('n', { kind: 'nonce' });
      const uses = await Promise.all([1, 2, 3].map(() => ledger.changeEdge([nonce])));
      assert.equal(uses.filter((each) => each.ok).length, 1);
      await ledger.changeEdge([fresh('a')]);
      const { owner: _, ...later } = fresh('a', { replaces: 1, body: 'later' });
      await ledger.changeEdge([later]);
      assert.equal((await ledger.edgeRecord('order', 'a'))?.owner, 'alice');
    });

    it('lists those of one owner in the order of their ids, in pages', async () => {
      await ledger.changeEdge([fresh('b'), fresh('a'), fresh('B'), fresh('c', { owner: 'bob' })]);
      assert.deepEqual(await ids(), ['B', 'a', 'b']);
      assert.deepEqual(await ids('B', 1), ['a']);
    });

    it('takes away what is taken away, and what has ended when something begins', async () => {
      await ledger.changeEdge([fresh('a'), fresh('b'), fresh('c', { expiresAt: start + 5000 })]);
      await ledger.changeEdge([fresh('a', { replaces: 1, body: undefined })]);
      assert.deepEqual(await ids(), ['b', 'c']);
      now += 1000;
      await ledger.changeEdge([fresh('d', { expiresAt: start + 5000 })]);
      assert.deepEqual(await ids(), ['c', 'd']);
      assert.equal(await ledger.edgeRecord('order', 'b'), undefined);
    });
  });
}
