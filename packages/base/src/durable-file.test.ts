import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileDurably } from './durable-file.ts';

test('a file is replaced whole, with the mode asked for, and nothing is left beside it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'key.pem');
  await writeFile(path, 'old');
  await writeFileDurably(path, 'new', { mode: 0o600 });
  assert.equal(await readFile(path, 'utf8'), 'new');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ['key.pem']);
});

test('a failure keeps the old file and leaves no temporary one', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-'));
  t.after(() => rm(directory, { recursive: true }));
  await assert.rejects(writeFileDurably(join(directory, 'absent', 'x'), 'new'), { code: 'ENOENT' });
  assert.deepEqual(await readdir(directory), []);
});
