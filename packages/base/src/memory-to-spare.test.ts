import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cachedDataVersionTag, getHeapStatistics } from 'node:v8';
import { MemoryToSpare } from './memory-to-spare.ts';

test('what a busy time took goes back once, and not where there is little', () => {
  const flags = cachedDataVersionTag();
  const spare = new MemoryToSpare();
  assert.equal(spare.give(), false);
  let kept: object[] | undefined = Array.from({ length: 1_000_000 }, (_, i) => ({ i }));
  const grown = getHeapStatistics().total_heap_size;
  assert.equal(kept.length, 1_000_000);
  kept = undefined;
  assert.equal(spare.give(), true);
  const left = getHeapStatistics().total_heap_size;
  assert.ok(left < grown - 16_000_000, `${grown} octets before, ${left} after`);
  assert.equal(spare.give(), false);
  // Or V8 would throw away what it kept of our code, at the next start.
  assert.equal(cachedDataVersionTag(), flags);
});
