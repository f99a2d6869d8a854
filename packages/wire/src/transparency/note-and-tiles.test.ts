import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import { generateKeyPair, keySigner, spkiOf } from '@countersign/x509';
import fc from 'fast-check';
import { openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { formatLogProof, parseLogProof, verifyGrown, verifyLogged } from './log-proof.ts';
import {
  consistencyRanges,
  leafHash,
  nodeHash,
  proofHashes,
  rootHash,
  type TreeNode,
} from './merkle-tree.ts';
import { formatNoteKey, noteKeyOf, openNote, parseNoteKey, signNote } from './signed-note.ts';
import { formatEntryBundle, formatTile, parseEntryBundle, parseTile } from './tile-content.ts';
import { formatTilePath, parseTilePath, tilesAtLevel, widthOfTile } from './tile-name.ts';

const pair = await generateKeyPair({ type: 'Ed25519' });
const signer = keySigner(pair.privateKey);
const key = noteKeyOf('example.com/log/1', spkiOf(pair.publicKey));
const code = (expected: string) => (thrown: unknown) =>
  thrown instanceof CountersignError && thrown.code === expected;

test('the note of the Go checksum database is read as its own tools read it', () => {
  const go = parseNoteKey('sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8');
  assert.equal(go.id, '033de0ae');
  assert.equal(
    formatNoteKey(go),
    'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8',
  );
});

test('keys that are misspelt, of another kind or under another name are refused', () => {
  const good = formatNoteKey(key);
  for (const bad of ['', 'a+b+c', good.replace('log/1', 'log/2'), `${good}AA`, good.slice(0, -3)]) {
    assert.throws(() => parseNoteKey(bad), code('ERR_LOG_KEY'), bad);
  }
  assert.throws(() => noteKeyOf('with space', key.spki), code('ERR_LOG_KEY'));
  assert.deepEqual(parseNoteKey(`${good}\n`), key);
});

test('a checkpoint opens under the key that signed it, with other signatures beside, and no other way', async () => {
  const head = { size: 3, root: leafHash(new Uint8Array([1])) };
  const note = await signCheckpoint(head, key, (data) => signer.sign(data));
  const lines = note.split('\n');
  const other = '— witness.example/w1 AAAAAAECAwQ=\n';
  assert.equal(lines.length, 6);
  for (const good of [note, note + other, note.replace('\n\n', `\n\n${other}`)]) {
    const opened = openCheckpoint(good, key);
    assert.ok(opened.ok);
    assert.deepEqual([opened.origin, opened.size, opened.root], [key.name, 3, head.root]);
  }
  const strangers = noteKeyOf('example.com/log/2', key.spki);
  const bad = [
    note.replace('\n3\n', '\n4\n'),
    note.replace(key.name, 'example.com/log/3'),
    note.slice(0, -1),
    note.slice(0, note.indexOf('—')),
    note.replace('— ', '- '),
    `${note}— ${key.name} ${lines[4]?.split(' ')[2]?.replace(/.{8}$/, 'AAAAAAA=')}\n`,
    note.replace('\n', '\r\n'),
    note + other.repeat(40),
    '',
    '\n\n',
  ];
  for (const each of bad) {
    const opened = openCheckpoint(each, key);
    assert.ok(!opened.ok && opened.code === 'ERR_LOG_CHECKPOINT', each);
  }
  assert.equal(openCheckpoint(note, strangers).ok, false);
  const sized = async (size: string) => {
    return signNote(`${key.name}\n${size}\nAAAA\n`, key, (data) => signer.sign(data));
  };
  for (const size of ['03', '-1', '', '1e3', '9'.repeat(16)]) {
    assert.equal(openCheckpoint(await sized(size), key).ok, false, size);
  }
});

test('a note of any text opens to it, and no mutation of one does', async () => {
  const text = `${key.name}\nsomething\n\nafter an empty line ü\n`;
  const note = await signNote(text, key, (data) => signer.sign(data));
  assert.deepEqual(openNote(note, key), { ok: true, text });
  const bytes = Buffer.from(note);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 7 }), (at, bit) => {
      const mutated = Buffer.from(bytes);
      mutated[at]! ^= 1 << bit;
      assert.equal(openNote(mutated.toString('utf8'), key).ok, false);
    }),
  );
});

test('every tile has one path, and every path that is not one is refused', () => {
  assert.equal(formatTilePath({ level: 0, index: 0, width: 256 }), 'tile/0/000');
  assert.equal(
    formatTilePath({ level: 1, index: 1_234_067, width: 7 }),
    'tile/1/x001/x234/067.p/7',
  );
  assert.equal(
    formatTilePath({ level: 'entries', index: 1000, width: 1 }),
    'tile/entries/x001/000.p/1',
  );
  const level = fc.oneof(fc.constant('entries' as const), fc.nat(63));
  const index = fc.oneof(fc.nat(2000), fc.nat({ max: 2 ** 31 - 1 }));
  fc.assert(
    fc.property(level, index, fc.integer({ min: 1, max: 256 }), (...[l, i, width]) => {
      const name = { level: l, index: i, width };
      assert.deepEqual(parseTilePath(formatTilePath(name)), name);
    }),
  );
  const bad = [
    ...[
      '',
      'tile/0/0',
      'tile/0/0000',
      'tile/00/000',
      'tile/64/000',
      'tile/0/x000/001',
      'tile/0/001/002',
    ],
    ...[
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000/',
      '/tile/0/000',
      'tile/0/../000',
    ],
    ...['tile/data/000', 'tile/-1/000', 'tile/0/x001', 'tile/entries/000.p/257', 'tile/0/000\n'],
  ];
  for (const path of bad) assert.equal(parseTilePath(path), undefined, path);
});

test('widths follow the example of the specification: 70,000 entries', () => {
  const widths = [0, 1, 2, 3].map((level) => {
    const tiles = tilesAtLevel(level, 70_000);
    return [tiles, widthOfTile(level, Math.max(0, tiles - 1), 70_000)];
  });
  assert.deepEqual(widths, [
    [274, 112],
    [2, 17],
    [1, 1],
    [0, 0],
  ]);
  assert.deepEqual(
    [tilesAtLevel(0, 256), widthOfTile(0, 0, 256), widthOfTile(1, 0, 256)],
    [1, 256, 1],
  );
});

test('tiles and bundles read back what was written, the beginning of a wider one too, and nothing that is cut', () => {
  const entries = [new Uint8Array(), new Uint8Array([1]), new Uint8Array(65_535).fill(7)];
  const bundle = formatEntryBundle(entries);
  const name = { level: 'entries', index: 0, width: 3 } as const;
  assert.deepEqual(parseEntryBundle(bundle, name), entries);
  assert.deepEqual(parseEntryBundle(bundle, { ...name, width: 2 }), entries.slice(0, 2));
  for (const cut of [0, 1, 2, 3, 4, 5, bundle.length - 1]) {
    assert.throws(() => parseEntryBundle(bundle.subarray(0, cut), name), code('ERR_LOG_FORM'));
  }
  assert.throws(() => formatEntryBundle([new Uint8Array(65_536)]), RangeError);
  const hashes = [1, 2, 3].map((n) => leafHash(new Uint8Array([n])));
  const tile = { level: 0, index: 0, width: 3 } as const;
  assert.deepEqual(parseTile(formatTile(hashes), tile), hashes);
  assert.deepEqual(parseTile(formatTile(hashes), { ...tile, width: 1 }), hashes.slice(0, 1));
  assert.throws(() => parseTile(formatTile(hashes).subarray(1), tile), code('ERR_LOG_FORM'));
  assert.throws(() => parseTile(formatTile(hashes), { ...tile, width: 4 }), code('ERR_LOG_FORM'));
});

test('a proof document proves what it says through JSON, and nothing when another certificate is put in its place', async () => {
  const entries = ['a', 'b', 'c'].map((text) => new TextEncoder().encode(text));
  const leaves = entries.map(leafHash);
  const pairRoot = nodeHash(leaves[0]!, leaves[1]!);
  const reader = ({ level, index }: TreeNode) => (level === 1 ? pairRoot : leaves[index]!);
  const sign = (data: Uint8Array) => signer.sign(data);
  const noteOf = async (size: number) =>
    signCheckpoint({ size, root: await rootHash(size, reader) }, key, sign);
  const [two, three] = [await noteOf(2), await noteOf(3)];
  const inclusion = { kind: 'inclusion', index: 2, hashes: [pairRoot], checkpoint: three } as const;
  const parsed = parseLogProof(JSON.parse(formatLogProof(inclusion)));
  assert.deepEqual(parsed, inclusion);
  assert.ok(verifyLogged(entries[2]!, inclusion, key).ok);
  assert.equal(verifyLogged(entries[1]!, inclusion, key).ok, false);
  assert.equal(verifyLogged(entries[2]!, { ...inclusion, checkpoint: two }, key).ok, false);
  const hashes = await proofHashes(consistencyRanges(2, 3), reader);
  const grown = { kind: 'consistency', from: two, checkpoint: three, hashes } as const;
  assert.deepEqual(parseLogProof(JSON.parse(formatLogProof(grown))), grown);
  assert.ok(verifyGrown(grown, key).ok);
  assert.equal(verifyGrown({ ...grown, from: three, checkpoint: two }, key).ok, false);
  for (const bad of [
    {},
    { ...grown, kind: 'x' },
    { ...grown, hashes: ['AA=='] },
    [],
    { ...inclusion, more: 1 },
  ]) {
    assert.throws(() => parseLogProof(JSON.parse(JSON.stringify(bad))), CountersignError);
  }
});
