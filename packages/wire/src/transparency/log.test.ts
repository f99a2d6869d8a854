import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import { generateKeyPair, keySigner, spkiOf } from '@countersign/x509';
import { type Checkpoint, openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { sourceOf, tilesOf } from './log-double.suite.ts';
import { LogFollower } from './log-follower.ts';
import { findLeaf, type LogSource, nodeReader } from './log-source.ts';
import {
  consistencyRanges,
  inclusionRanges,
  leafHash,
  proofHashes,
  rootHash,
} from './merkle-tree.ts';
import { noteKeyOf } from './signed-note.ts';
import { TreeFrontier } from './tree-frontier.ts';
import { verifyLog } from './verify-log.ts';
import { verifyConsistency, verifyInclusion } from './verify-proof.ts';

const pair = await generateKeyPair({ type: 'Ed25519' });
const signer = keySigner(pair.privateKey);
const key = noteKeyOf('example.com/log/1', spkiOf(pair.publicKey));
const most = 66_000;
const entries = Array.from({ length: most }, (_, i) => new TextEncoder().encode(`entry ${i}`));
const leaves = entries.map(leafHash);

const heads = new Map<number, Checkpoint>();
async function headOf(size: number): Promise<Checkpoint> {
  const known = heads.get(size);
  if (known !== undefined) return known;
  const tree = new TreeFrontier();
  for (const leaf of leaves.slice(0, size)) tree.append(leaf);
  const note = await signCheckpoint(tree, key, (data) => signer.sign(data));
  const head = openCheckpoint(note, key);
  assert.ok(head.ok);
  heads.set(size, head);
  return head;
}

async function logOf(size: number) {
  const tiles = tilesOf(entries.slice(0, size));
  const head = await headOf(size);
  return { tiles, head, source: sourceOf(tiles, head.note) };
}

async function read(follower: LogFollower, source: LogSource): Promise<string[]> {
  const seen: string[] = [];
  for await (const { index, entry } of follower.advance(source)) {
    assert.deepEqual(entry, entries[index]);
    seen.push(new TextDecoder().decode(entry));
  }
  return seen;
}

test('roots and proofs come out of tiles alone, three levels high', async () => {
  const { source, head } = await logOf(most);
  const node = nodeReader(source, most);
  assert.deepEqual(await rootHash(most, node), head.root);
  for (const index of [0, 255, 256, 65_535, 65_536, most - 1]) {
    const hashes = await proofHashes(inclusionRanges(index, most), node);
    assert.ok(verifyInclusion({ index, hash: leaves[index]! }, hashes, head).ok);
  }
  for (const size of [1, 255, 256, 257, 65_535, 65_536, 65_537]) {
    const hashes = await proofHashes(consistencyRanges(size, most), node);
    assert.ok(verifyConsistency(await headOf(size), head, hashes).ok);
  }
  assert.equal(await findLeaf(source, entries[300]!, most), 300);
  assert.equal(await findLeaf(source, new Uint8Array([1]), most), undefined);
});

test('a partial tile that is gone is read from the full one', async () => {
  const { tiles, head } = await logOf(300);
  const later = tilesOf(entries.slice(0, 600));
  for (const [path, bytes] of later) if (!path.includes('.p/')) tiles.set(path, bytes);
  for (const path of tiles.keys()) if (/001\.p/.test(path)) tiles.delete(path);
  const source = sourceOf(tiles, head.note);
  assert.deepEqual(await rootHash(300, nodeReader(source, 300)), head.root);
  assert.deepEqual((await verifyLog(source, head)).findings, []);
});

test('a whole log is sound at every size around the borders of its tiles', async () => {
  const earlier = await Promise.all([0, 1, 200, 256].map(headOf));
  for (const size of [0, 1, 2, 255, 256, 257, 511, 512, 513, 700]) {
    const { source, head } = await logOf(size);
    const kept = earlier.filter((each) => each.size <= size);
    assert.deepEqual(await verifyLog(source, head, kept), { size, findings: [] }, `size ${size}`);
  }
});

test('every tampered tile and entry is named, and it alone', async () => {
  const size = 700;
  const { tiles, head, source } = await logOf(size);
  for (const [path, bytes] of [...tiles]) {
    const tampered = bytes.slice();
    tampered[tampered.length - 1]! ^= 1;
    tiles.set(path, tampered);
    const { findings } = await verifyLog(source, head);
    tiles.set(path, bytes);
    assert.equal(findings.length, 1, path);
    assert.equal(findings[0]!.code, 'ERR_LOG_TAMPERED');
    assert.ok(findings[0]!.detail.includes(`"${path}"`), `${path}: ${findings[0]!.detail}`);
  }
});

test('a tile that is cut short or gone is named', async () => {
  const { tiles, head, source } = await logOf(700);
  for (const [path, bytes] of [...tiles]) {
    for (const broken of [undefined, bytes.subarray(0, bytes.length - 1)]) {
      if (broken === undefined) tiles.delete(path);
      else tiles.set(path, broken);
      const { findings } = await verifyLog(source, head);
      tiles.set(path, bytes);
      assert.deepEqual(
        findings.map(({ code, fields }) => [code, fields.tile]),
        [['ERR_LOG_TAMPERED', path]],
      );
    }
  }
});

test('entries and all tiles rewritten together still break with the checkpoint, and with one kept elsewhere', async () => {
  const forged = entries.slice(0, 700).map((entry, i) => (i === 300 ? entries[0]! : entry));
  const tiles = tilesOf(forged);
  const head = await headOf(700);
  const found = await verifyLog(sourceOf(tiles, head.note), head);
  assert.equal(found.findings.length, 1);
  assert.match(found.findings[0]!.detail, /commits to root/);
  // Signed anew by whoever has the key: only what others have kept tells.
  const tree = new TreeFrontier();
  for (const entry of forged) tree.append(leafHash(entry));
  const note = await signCheckpoint(tree, key, (data) => signer.sign(data));
  const anew = openCheckpoint(note, key);
  assert.ok(anew.ok);
  assert.deepEqual((await verifyLog(sourceOf(tiles, note), anew)).findings, []);
  const kept = await Promise.all([256, 512, 1000].map(headOf));
  const { findings } = await verifyLog(sourceOf(tiles, note), anew, kept);
  assert.deepEqual(
    findings.map(({ code, fields }) => [code, fields.size]),
    [
      ['ERR_LOG_INCONSISTENT', 1000],
      ['ERR_LOG_INCONSISTENT', 512],
    ],
  );
});

test('a follower reads every entry once, across restarts', async () => {
  let follower = new LogFollower(key);
  let seen = 0;
  for (const size of [0, 1, 255, 256, 258, 258, 700]) {
    const fresh = await read(follower, (await logOf(size)).source);
    assert.equal(fresh.length, size - seen);
    seen = size;
    follower = LogFollower.restore(JSON.parse(follower.state()));
    assert.equal(follower.size, size);
  }
});

test('a follower notices a changed past, a changed present and another key, and stays where it was', async () => {
  const follower = new LogFollower(key);
  await read(follower, (await logOf(300)).source);
  const before = follower.state();
  // Another history under the same key, both shorter than what is added and the same size.
  for (const size of [300, 400]) {
    const forged = entries.slice(0, size).map((entry, i) => (i === 3 ? entries[4]! : entry));
    const tree = new TreeFrontier();
    for (const entry of forged) tree.append(leafHash(entry));
    const note = await signCheckpoint(tree, key, (data) => signer.sign(data));
    const error = await read(follower, sourceOf(tilesOf(forged), note)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof CountersignError && error.code === 'ERR_LOG_INCONSISTENT');
    assert.ok(typeof error.fields.checkpoint === 'string');
  }
  // An entry that is not what the checkpoint commits to.
  const { tiles, head } = await logOf(310);
  tiles.set('tile/entries/001.p/54', tilesOf(entries.slice(1, 311)).get('tile/entries/001.p/54')!);
  await assert.rejects(async () => {
    for await (const _ of follower.advance(sourceOf(tiles, head.note)));
  }, /what was read leads to/);
  const stranger = await signCheckpoint(head, noteKeyOf('example.com/log/2', key.spki), (data) =>
    signer.sign(data),
  );
  await assert.rejects(read(follower, sourceOf(tiles, stranger)), /not by key/);
  assert.equal(follower.state(), before);
  assert.equal((await read(follower, (await logOf(310)).source)).length, 10);
});

test('a follower says that it is ahead of a log that shows an older checkpoint', async () => {
  const follower = new LogFollower(key);
  await read(follower, (await logOf(300)).source);
  assert.deepEqual(await read(follower, (await logOf(257)).source), []);
  assert.deepEqual([follower.size, follower.behind], [300, 43]);
  await read(follower, (await logOf(301)).source);
  assert.equal(follower.behind, 0);
});

test('the state of a follower is believed only where it fits together', async () => {
  const follower = new LogFollower(key);
  await read(follower, (await logOf(7)).source);
  const state = JSON.parse(follower.state());
  for (const change of [{ size: 6 }, { size: 11 }, { hashes: [] }, { key: 'x' }, { more: 1 }]) {
    assert.throws(() => LogFollower.restore({ ...state, ...change }), CountersignError);
  }
});
