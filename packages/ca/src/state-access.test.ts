import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { adminClient } from './serve/admin-client.ts';
import { readStateCertificates } from './state-certificates.ts';
import { readStateManifest } from './state-layout.ts';

const nobody = 65_534;

/** As somebody to whom file modes mean something. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(nobody);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

async function stateFor(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'countersign-access-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  await chmod(home, 0o755);
  const data = join(home, 'state');
  await mkdir(data, { mode: 0o700 });
  return data;
}

test('a data directory of somebody else is said to be that, and whose, and who asked', async (t) => {
  const data = await stateFor(t);
  await chmod(data, 0);
  await asNobody(async () => {
    const message =
      /^open the authority in ".*state": ".*state" is of user \d+, mode 0000, .* runs as/;
    await assert.rejects(adminClient(data), { code: 'ERR_STATE_ACCESS', message });
    await assert.rejects(readStateManifest(data), { code: 'ERR_STATE_ACCESS', message });
  });
});

test('so is a file of it', async (t) => {
  const data = await stateFor(t);
  await chmod(data, 0o755);
  const manifest = { format: 'countersign-state', version: 1, trustDomain: 'example.com' };
  const more = { rootFingerprint: '0'.repeat(64), intermediates: [], seal: { kind: 'none' } };
  const text = JSON.stringify({ ...manifest, ...more, createdAt: '2026-01-01T00:00:00Z' });
  await writeFile(join(data, 'state.json'), text);
  await writeFile(join(data, 'root.pem'), '');
  await chmod(join(data, 'root.pem'), 0);
  await asNobody(async () => {
    await assert.rejects(readStateCertificates(data), {
      code: 'ERR_STATE_ACCESS',
      message: /"[^"]*root\.pem" is of user \d+, mode 0000/,
    });
  });
  const file = join(data, 'state.json');
  await assert.rejects(adminClient(file), { code: 'ERR_STATE_MISSING', message: /no directory$/ });
});
