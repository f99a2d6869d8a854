import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { accountKey } from './account-key.ts';

test('an account has one key whoever asks for it first, and nothing is left beside it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-account-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'account.key');

  const keys = await Promise.all(Array.from({ length: 8 }, () => accountKey(path)));

  assert.equal(new Set(keys.map(publicPem)).size, 1);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ['account.key']);
  assert.equal(publicPem(await accountKey(path)), publicPem(keys[0] as KeyObject));
});

function publicPem(key: KeyObject): string {
  return String(createPublicKey(key).export({ type: 'spki', format: 'pem' }));
}
