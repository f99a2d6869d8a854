import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HashRing, type RingMember } from './hash-ring.ts';
import { xxHash64 } from './xx-hash.ts';

test('xxHash64 is the one that others have', () => {
  const known = {
    '': 0xef46_db37_51d8_e999n,
    a: 0xd24e_c4f1_a98c_6e5bn,
    abc: 0x44bc_2cf5_ad77_0999n,
    'Nobody inspects the spammish repetition': 0xfbce_a83c_8a37_8bf1n,
  };
  for (const [text, hash] of Object.entries(known)) assert.equal(xxHash64(text), hash, text);
});

test('a member that goes moves its own requests and few others, and weights are shares', () => {
  const size = { minSize: 1024, maxSize: 65_536 };
  const members: RingMember[] = [1, 2, 3, 4, 5].map((n) => ({
    ...{ key: `10.0.0.${n}:8443`, weight: n === 5 ? 4 : 1 },
  }));
  const whole = new HashRing(members, size);
  const without = new HashRing(members.slice(1), size);
  let moved = 0;
  const taken = new Map<string, number>();
  const hashes = Array.from({ length: 4000 }, (_, n) => xxHash64(`user-${n}`));
  for (const hash of hashes) {
    const before = whole.at(hash)?.key ?? '';
    taken.set(before, (taken.get(before) ?? 0) + 1);
    const after = without.at(hash)?.key;
    if (before === '10.0.0.1:8443') assert.notEqual(after, before);
    else if (after !== before) moved += 1;
    // Whoever is passed over gives way to the next, and no other than its own does.
    const other = whole.at(hash, ({ key }) => key !== '10.0.0.2:8443')?.key;
    if (before !== '10.0.0.2:8443') assert.equal(other, before);
    else assert.notEqual(other, before);
  }
  assert.ok(moved / hashes.length < 0.1, `${moved} of ${hashes.length}`);
  for (const { key, weight } of members) {
    const share = (taken.get(key) ?? 0) / hashes.length;
    assert.ok(Math.abs(share - weight / 8) < 0.05, `${key}: ${share}`);
  }
});
