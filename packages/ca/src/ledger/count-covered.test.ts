import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Denial } from '@countersign/base';
import { type CountPage, countAtOnce, countCovered, withCount } from './count-covered.ts';
import { MemoryStore } from './memory-store.ts';
import { randomOctets } from './random-octets.ts';

const total = 25_000;

function transaction() {
  const store = new MemoryStore();
  for (let i = 1; i <= total; i += 1) {
    const position = store.nextPosition();
    store.addIntent({
      ...{ kind: 'intent', position, at: 1, serialHex: `${position}`, names: [], spkiHash: 'a' },
      ...{ spiffeId: `spiffe://example.com/${i % 5 === 0 ? 'b' : 'a'}/${i}`, provisioner: 'p' },
      ...{ grant: 'operator', grantedBy: undefined, issuer: 'services' },
      notAfter: i % 2 === 0 ? 1000 : 0,
    });
  }
  return { store, at: 10, random: randomOctets };
}

test('what no index finds is counted in pages, each unexpired certificate once', async () => {
  const tx = transaction();
  const order = { by: 'spiffe-prefix', value: 'spiffe://example.com/a/' } as const;
  assert.equal(countAtOnce(tx, order.by, order.value), undefined);
  const pages: number[] = [];
  const ask = async (page: CountPage) => {
    pages.push(page.above);
    return countCovered(tx, page);
  };
  const answer = await withCount(order, { ok: true, matched: undefined }, ask);
  assert.deepEqual(answer, { ok: true, matched: total * 0.8 * 0.5 });
  assert.deepEqual(pages, [0, 20_000]);
});

test('what is counted already, or refused, is not counted again', async () => {
  const never = () => assert.fail('asked');
  const order = { by: 'key', value: 'a' } as const;
  assert.equal(countAtOnce(transaction(), order.by, order.value), total / 2);
  assert.deepEqual(await withCount(order, { ok: true, matched: 3 }, never), {
    ok: true,
    matched: 3,
  });
  const refused: Denial = { ok: false, code: 'ERR_LEDGER_ORDER', detail: 'no', fields: {} };
  assert.equal(await withCount(order, refused, never), refused);
});
