import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RevocationRecord } from '../ledger.ts';
import { FreshRevocations } from './fresh-revocations.ts';

const revocation = (position: number, previous: number): RevocationRecord => ({
  ...{ kind: 'revocation', position, previous, at: 0, by: 'serial', value: String(position) },
  ...{ reason: 'superseded', block: false, orderedBy: 'operator' },
});
const positions = (found: readonly RevocationRecord[] | undefined) =>
  found?.map(({ position }) => position);

test('own revocations follow each other without a gap, for whoever stands right before one of them', () => {
  const fresh = new FreshRevocations();
  fresh.add([revocation(7, 4), revocation(8, 7)]);
  fresh.expect(8);
  fresh.add([revocation(11, 8)]);
  fresh.expect(11);
  assert.deepEqual(positions(fresh.after(4, 10)), [7, 8, 11]);
  assert.deepEqual(positions(fresh.after(7, 1)), [8]);
  assert.equal(fresh.after(11, 10), undefined);
  assert.equal(fresh.after(3, 10), undefined);
});

test('one of another process, before or behind, leaves the answer to the database', () => {
  const fresh = new FreshRevocations();
  fresh.add([revocation(7, 4)]);
  fresh.add([revocation(12, 9)]);
  assert.equal(fresh.after(4, 10), undefined);
  assert.deepEqual(positions(fresh.after(9, 10)), [12]);
  fresh.expect(15);
  assert.equal(fresh.after(9, 10), undefined);
});
