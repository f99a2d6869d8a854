import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { cachedDataVersionTag, getHeapSpaceStatistics } from 'node:v8';
import { holdMemory } from './hold-memory.ts';
import { returnFreedMemory } from './return-freed-memory.ts';

test('a process under load keeps its young generation small', async () => {
  const flags = cachedDataVersionTag();
  const letGo = holdMemory();
  let most = 0;
  const kept: object[][] = [];
  for (let round = 0; round < 400; round += 1) {
    // A third of what is made lives for a while, as under many clients: by itself V8 takes 50 MB for that.
    kept[round % 16] = Array.from({ length: 4000 }, (_, i) => ({
      round,
      i,
      text: `${round}/${i}`,
    }));
    await turn();
    most = Math.max(most, youngBytes());
  }
  assert.equal(kept.length, 16);
  assert.ok(most > 4_000_000, `it has ${most} octets, not much more than at the start`);
  // It is told after a collection, so that one more may have come in between.
  assert.ok(most < 36_000_000, `it has ${most} octets`);
  // Or V8 would throw away what it kept of our code, at the next start.
  letGo();
  assert.equal(cachedDataVersionTag(), flags);
});

test('what C has freed goes back where the C library is that of GNU', async () => {
  const { header } = process.report.getReport() as { readonly header: object };
  assert.equal(await returnFreedMemory(), 'glibcVersionRuntime' in header);
});

function youngBytes(): number {
  const spaces = getHeapSpaceStatistics();
  return spaces.find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
}
