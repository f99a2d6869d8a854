import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cachedDataVersionTag, getHeapStatistics } from 'node:v8';
import { MemoryToSpare } from './memory-to-spare.ts';

test('what a busy time took goes back once in ten minutes, and not where there is little', () => {
  const flags = cachedDataVersionTag();
  let now = 0;
  const spare = new MemoryToSpare({ monotonic: () => now });
  assert.equal(spare.give(), false);
  const grown = busyTime();
  assert.equal(spare.give(), true);
  const left = getHeapStatistics().total_heap_size;
  assert.ok(left < grown - 16_000_000, `${grown} octets before, ${left} after`);
  assert.equal(spare.give(), false);
  busyTime();
  assert.equal(spare.give(), false, 'so soon after the last time');
  now = 600_000;
  assert.equal(spare.give(), true);
  // Or V8 would throw away what it kept of our code, at the next start.
  assert.equal(cachedDataVersionTag(), flags);
});

function busyTime(): number {
  const kept = Array.from({ length: 1_000_000 }, (_, i) => ({ i }));
  assert.equal(kept.length, 1_000_000);
  return getHeapStatistics().total_heap_size;
}
