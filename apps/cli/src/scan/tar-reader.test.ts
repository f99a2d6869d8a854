import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import { ByteSource } from './byte-source.ts';
import { readTar, tarLimits } from './tar-reader.ts';

const files = new Map([
  ['one', randomBytes(512)],
  [`${'long'.repeat(60)}`, randomBytes(1300)],
  ['empty', Buffer.alloc(0)],
  ['last', randomBytes(1)],
]);

test('an archive reads the same whole and byte by byte, its entries read or passed over', async (t) => {
  const archive = makeArchive();
  if (archive === undefined) return t.skip('tar is not installed');
  for (const step of [archive.byteLength, 1, 511, 513]) {
    assert.deepEqual(await contents(archive, step), files, `in steps of ${step}`);
  }
  const names: string[] = [];
  for await (const { path } of readTar(sourceOf(archive, 100))) names.push(path);
  assert.deepEqual(names, [...files.keys()]);
});

test('an archive that is cut or changed anywhere ends in a coded error, or in what stood before', async (t) => {
  const archive = makeArchive();
  if (archive === undefined) return t.skip('tar is not installed');
  for (let at = 0; at < archive.byteLength; at += 97) {
    const changed = Buffer.from(archive);
    changed[at] = (changed[at] ?? 0) ^ 0xa5;
    for (const damaged of [archive.subarray(0, at), changed]) {
      await contents(damaged, 4096).catch((thrown: unknown) => {
        assert.ok(thrown instanceof CountersignError, String(thrown));
        assert.match(thrown.code, /^ERR_CLI_SCAN_/);
      });
    }
  }
});

test('entries, and headers that announce headers, are bounded', async (t) => {
  const archive = makeArchive();
  if (archive === undefined) return t.skip('tar is not installed');
  const refused = (limits: Partial<typeof tarLimits>) =>
    assert.rejects(
      async () => {
        for await (const _ of readTar(sourceOf(archive, 512), { ...tarLimits, ...limits }));
      },
      { code: 'ERR_CLI_SCAN_LIMIT' },
    );
  await refused({ maxEntries: 2 });
  await refused({ maxHeaderBytes: 100 });
});

async function contents(archive: Uint8Array, step: number): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { path, content } of readTar(sourceOf(archive, step))) {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    found.set(path, Buffer.concat(parts));
  }
  return found;
}

function sourceOf(bytes: Uint8Array, step: number): ByteSource {
  return new ByteSource(
    (async function* inSteps() {
      for (let at = 0; at < bytes.byteLength; at += step) yield bytes.subarray(at, at + step);
    })(),
  );
}

function makeArchive(): Buffer | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-tar-'));
  try {
    for (const [name, content] of files) writeFileSync(join(directory, name), content);
    const file = join(directory, 'archive.tar');
    execFileSync('tar', ['-C', directory, '-cf', file, ...files.keys()], { stdio: 'ignore' });
    return readFileSync(file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
