import assert from 'node:assert/strict';
import {
  cp,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CountersignError, systemClock } from '@countersign/base';
import { signingDouble } from './authority-double.suite.ts';
import { identityFiles, readIdentity, writeIdentity } from './index.ts';
import { killWhileSwapping, readPlainly } from './kill-while-swapping.suite.ts';

const double = signingDouble(systemClock);
const first = { ...double.identity(), ca: 'https://127.0.0.1:8440' };
const second = { ...double.identity(), ca: 'https://127.0.0.1:8440' };

async function directoryFor(t: { after(f: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'identity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'payments');
}

test('an identity comes back from its files as it was, and by plain paths', async (t) => {
  const directory = await directoryFor(t);
  await writeIdentity(directory, first);
  const read = await readIdentity(directory);
  assert.equal(read.svid.serialHex, first.svid.serialHex);
  assert.equal(read.ca, first.ca);
  assert.deepEqual(
    read.bundle.authorities.map((c) => c.serialHex),
    [double.ca.root.serialHex],
  );
  assert.equal(await readPlainly(directory), first.svid.serialHex);
  const meta = JSON.parse(await readFile(join(directory, 'identity.json'), 'utf8'));
  assert.deepEqual(meta, {
    spiffeId: `${first.svid.spiffeId}`,
    trustDomain: 'example.com',
    ca: first.ca,
  });
});

test('a swap changes every path at once and leaves a plain reader nothing else', async (t) => {
  const directory = await directoryFor(t);
  await writeIdentity(directory, first);
  await writeIdentity(directory, second);
  assert.equal(await readPlainly(directory), second.svid.serialHex);
  for (const name of Object.values(identityFiles)) {
    assert.ok((await lstat(join(directory, name))).isSymbolicLink());
  }
});

test('whoever reads while identities are swapped gets one of them, never a mix', async (t) => {
  const directory = await directoryFor(t);
  await writeIdentity(directory, first);
  let isOver = false;
  const writing = (async () => {
    for (let i = 0; i < 15; i += 1) await writeIdentity(directory, i % 2 === 0 ? second : first);
    isOver = true;
  })();
  const seen = new Set<string>();
  while (!isOver) seen.add((await readIdentity(directory)).svid.serialHex);
  await writing;
  assert.deepEqual([...seen].sort(), [first.svid.serialHex, second.svid.serialHex].sort());
});

test('killed at any moment of a swap, the files are the old ones or the new ones', async (t) => {
  await killWhileSwapping(await directoryFor(t), [first, second], 2);
});

test('versions that nobody can be reading any more are removed, fresh ones of others stay', async (t) => {
  const directory = await directoryFor(t);
  await writeIdentity(directory, first);
  await writeIdentity(directory, second);
  const versions = join(directory, '.versions');
  const [one, two] = await readdir(versions);
  const longAgo = new Date(systemClock.now() - 700_000);
  await utimes(join(versions, one ?? ''), longAgo, longAgo);
  await utimes(join(versions, two ?? ''), longAgo, longAgo);
  await writeIdentity(directory, first);
  assert.equal((await readdir(versions)).length, 1);
  assert.equal((await readIdentity(directory)).svid.serialHex, first.svid.serialHex);
});

test('a copy with plain files is read, and one whose key is another’s is refused', async (t) => {
  const directory = await directoryFor(t);
  await writeIdentity(directory, first);
  const copy = `${directory}-copy`;
  await cp(directory, copy, { recursive: true, dereference: true });
  await rm(join(copy, '.current'), { recursive: true });
  await rm(join(copy, '.versions'), { recursive: true });
  assert.equal((await readIdentity(copy)).svid.serialHex, first.svid.serialHex);
  await writeIdentity(`${directory}-b`, second);
  await cp(join(`${directory}-b`, 'key.pem'), join(copy, 'key.pem'), { dereference: true });
  await assert.rejects(readIdentity(copy), {
    code: 'ERR_IDENTITY_FILES',
    message: /private key does not belong to certificate/,
  });
});

test('files that are missing, damaged, too large or lead elsewhere get one clear error without the key', async (t) => {
  const directory = await directoryFor(t);
  await assert.rejects(readIdentity(directory), {
    code: 'ERR_IDENTITY_FILES',
    message: /ENOENT.*key.pem/,
  });
  await writeIdentity(directory, first);
  const key = await readFile(join(directory, 'key.pem'), 'utf8');
  const damages: [string, string, RegExp][] = [
    ['chain.pem', 'x', /read identity from/],
    ['bundle.pem', '', /read identity from/],
    ['key.pem', key.replace('MIGH', 'MIGG'), /private key|PEM/],
    [
      'identity.json',
      '{"spiffeId":"spiffe://example.com/other"}',
      /is for "spiffe:\/\/example.com\/other", the certificate for/,
    ],
    ['chain.pem', 'x'.repeat(1024 * 1024 + 1), /at most 1048576 are read/],
  ];
  for (const [name, content, message] of damages) {
    const copy = `${directory}-copy`;
    await rm(copy, { recursive: true, force: true });
    await cp(directory, copy, { recursive: true, dereference: true });
    await rm(join(copy, '.current'), { recursive: true });
    await writeFile(join(copy, name), content);
    await assert.rejects(readIdentity(copy), (thrown: CountersignError) => {
      assert.equal(thrown.code, 'ERR_IDENTITY_FILES');
      assert.match(thrown.message, message);
      for (const line of key.split('\n').slice(1, -2)) assert.ok(!thrown.message.includes(line));
      return true;
    });
  }
  await rm(join(directory, '.current'));
  await symlink('/etc', join(directory, '.current'));
  await assert.rejects(readIdentity(directory), /".current" leads to "\/etc"/);
});
