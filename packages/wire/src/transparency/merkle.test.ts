import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  consistencyRanges,
  emptyRoot,
  foldNodes,
  inclusionRanges,
  type LeafRange,
  leafHash,
  nodeHash,
  nodesOfRange,
  rootHash,
} from './merkle-tree.ts';
import { TreeFrontier } from './tree-frontier.ts';
import { verifyConsistency, verifyInclusion } from './verify-proof.ts';

const most = 300;
const leaves = Array.from({ length: most }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)));
/** Hashes of complete subtrees by level. */
const nodes: Uint8Array[][] = [leaves];
for (let row = leaves; row.length > 1; nodes.push(row)) {
  row = Array.from({ length: Math.floor(row.length / 2) }, (_, i) =>
    nodeHash(row[2 * i]!, row[2 * i + 1]!),
  );
}
const read = ({ level, index }: { level: number; index: number }) => nodes[level]![index]!;
const folded = new Map<string, Uint8Array>();
const hashesOf = (ranges: readonly LeafRange[]) =>
  ranges.map((range) => {
    const id = `${range.start}-${range.end}`;
    const hash = folded.get(id) ?? foldNodes(nodesOfRange(range).map(read));
    folded.set(id, hash);
    return hash;
  });
const rootOf = (size: number) => hashesOf([{ start: 0, end: size }])[0]!;
const heads = Array.from({ length: most + 1 }, (_, size) => ({
  size,
  root: size === 0 ? emptyRoot : rootOf(size),
}));

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[Math.floor(bit / 8)]! ^= 1 << (bit % 8);
  return copy;
}

function withFlip(hashes: readonly Uint8Array[], at: number, bit: number): Uint8Array[] {
  return hashes.map((hash, i) => (i === at ? flipped(hash, bit) : hash));
}

test('known answers: the tree of the eight inputs of the CT test vectors', async () => {
  const inputs = [
    ...['', '00', '10', '2021', '3031', '40414243'],
    ...['5051525354555657', '606162636465666768696a6b6c6d6e6f'],
  ].map((hex) => leafHash(Buffer.from(hex, 'hex')));
  const roots = [
    ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0],
    ['6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d', 1],
    ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125', 2],
    ['5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328', 8],
  ] as const;
  for (const [expected, size] of roots) {
    const frontier = new TreeFrontier();
    for (const input of inputs.slice(0, size)) frontier.append(input);
    assert.equal(Buffer.from(frontier.root).toString('hex'), expected);
  }
});

test('every leaf of every tree up to 300 has a proof that verifies, and one flipped bit anywhere ends that', () => {
  let bit = 0;
  for (let size = 1; size <= most; size += 1) {
    const head = heads[size]!;
    for (let index = 0; index < size; index += 1) {
      const leaf = { index, hash: leaves[index]! };
      const hashes = hashesOf(inclusionRanges(index, size));
      const proved = verifyInclusion(leaf, hashes, head);
      assert.ok(proved.ok, `leaf ${index} of ${size}`);
      // Places of the proof, the leaf and the root have their turns; bits go round.
      if ((size + index) % 3 > 0) continue;
      const at = bit % (hashes.length + 2);
      bit = (bit + 101) % 7919;
      const wrong =
        at < hashes.length
          ? verifyInclusion(leaf, withFlip(hashes, at, bit % 256), head)
          : at === hashes.length
            ? verifyInclusion({ ...leaf, hash: flipped(leaf.hash, bit % 256) }, hashes, head)
            : verifyInclusion(leaf, hashes, { size, root: flipped(head.root, bit % 256) });
      assert.ok(!wrong.ok && wrong.code === 'ERR_LOG_PROOF', `leaf ${index} of ${size}, flipped`);
    }
  }
});

test('every tree up to 300 grows into every larger one, and one flipped bit anywhere ends that', () => {
  let bit = 0;
  for (let to = 1; to <= most; to += 1) {
    for (let from = 0; from <= to; from += 1) {
      const [first, second] = [heads[from]!, heads[to]!];
      const hashes = hashesOf(consistencyRanges(from, to));
      assert.ok(verifyConsistency(first, second, hashes).ok, `from ${from} to ${to}`);
      if ((from + to) % 3 > 0) continue;
      const at = bit % (hashes.length + 2);
      bit = (bit + 101) % 7919;
      const [old, fresh] = [flipped(first.root, bit % 256), flipped(second.root, bit % 256)];
      // Where the first tree is empty, the second root is compared with nothing.
      const wrong =
        at < hashes.length
          ? verifyConsistency(first, second, withFlip(hashes, at, bit % 256))
          : at === hashes.length || from === 0
            ? verifyConsistency({ size: from, root: old }, second, hashes)
            : verifyConsistency(first, { size: to, root: fresh }, hashes);
      assert.ok(!wrong.ok, `from ${from} to ${to}, flipped at ${at}`);
    }
  }
});

test('every bit of one proof of each kind counts', () => {
  const [index, from, size] = [77, 91, 213];
  const inclusion = hashesOf(inclusionRanges(index, size));
  const consistency = hashesOf(consistencyRanges(from, size));
  for (let bit = 0; bit < 256; bit += 1) {
    for (let at = 0; at < inclusion.length; at += 1) {
      const leaf = { index, hash: leaves[index]! };
      assert.equal(verifyInclusion(leaf, withFlip(inclusion, at, bit), heads[size]!).ok, false);
    }
    for (let at = 0; at < consistency.length; at += 1) {
      const hashes = withFlip(consistency, at, bit);
      assert.equal(verifyConsistency(heads[from]!, heads[size]!, hashes).ok, false);
    }
  }
});

test('proofs that are too short, too long, of another leaf or of another size are refused', () => {
  const sizes = fc.integer({ min: 2, max: most });
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, a, b) => {
      const [index, other] = [a % size, b % size];
      const leaf = { index, hash: leaves[index]! };
      const hashes = hashesOf(inclusionRanges(index, size));
      const tries = [
        verifyInclusion(leaf, hashes.slice(1), heads[size]!),
        verifyInclusion(leaf, hashes.slice(0, -1), heads[size]!),
        verifyInclusion(leaf, [...hashes, leaf.hash], heads[size]!),
        verifyInclusion({ ...leaf, index: size }, hashes, heads[size]!),
        ...(other === index
          ? []
          : [verifyInclusion({ ...leaf, index: other }, hashes, heads[size]!)]),
        verifyConsistency(heads[size]!, heads[index]!, []),
        verifyConsistency(heads[index]!, heads[size]!, [
          ...hashesOf(consistencyRanges(index, size)),
          leaf.hash,
        ]),
        ...(index === 0 ? [] : [verifyConsistency(heads[index]!, heads[size]!, [])]),
      ];
      assert.ok(tries.every((each) => !each.ok));
    }),
  );
});

test('a frontier has the root of the tree at every size, and goes on from what was kept of it', async () => {
  let frontier = new TreeFrontier();
  for (let size = 0; size <= most; size += 1) {
    assert.deepEqual(frontier.root, heads[size]!.root);
    assert.deepEqual(await rootHash(size, read), heads[size]!.root);
    frontier = new TreeFrontier(frontier.size, frontier.hashes);
    if (size < most) frontier.append(leaves[size]!);
  }
  assert.throws(() => new TreeFrontier(3, [leaves[0]!]), RangeError);
});

test('trees beyond 32 bits keep their arithmetic', () => {
  const size = 2 ** 40 + 5;
  assert.deepEqual(nodesOfRange({ start: 0, end: size }), [
    { level: 40, index: 0 },
    { level: 2, index: 2 ** 38 },
    { level: 0, index: 2 ** 40 + 4 },
  ]);
  assert.equal(inclusionRanges(size - 1, size).length, 2);
  assert.equal(inclusionRanges(0, size).length, 41);
  assert.equal(consistencyRanges(2 ** 40, size).length, 1);
});
