import assert from 'node:assert/strict';
import { it } from 'node:test';
import { systemClock } from '@countersign/base';
import { memoryLedger } from './memory-ledger.ts';

it('gives the numbers of lists in turn, whoever asks, and none to a list that knows less', async () => {
  const ledger = memoryLedger({ clock: systemClock });
  const take = (number: string, position: number, path = '/crl/a.crl') =>
    ledger.takeListNumber(path, { number, position });
  assert.equal(await take('100', 1), '100');
  // another process wants the same, or one below: by its clock
  assert.equal(await take('100', 1), '101');
  assert.equal(await take('7', 1), '102');
  assert.equal(await take('500', 5), '500');
  // it has not heard of the revocation at 5 yet
  assert.equal(await take('900', 4), undefined);
  assert.equal(await take('501', 5), '501');
  assert.equal(await take('1', 0, '/crl/b.crl'), '1');
  // RFC 5280 §5.2.3: up to 20 octets
  const large = (2n ** 100n).toString();
  assert.equal(await take(large, 6), large);
  assert.equal(await take(large, 6), (2n ** 100n + 1n).toString());
  await ledger.close();
});
