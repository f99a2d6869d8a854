import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CountersignError } from '@countersign/base';
import { ByteSource } from './byte-source.ts';
import { type ExamineLimits, examineContent, examineLimits } from './examine-content.ts';
import type { FoundKey } from './found-key.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));

test('compression inside compression is followed so far and no further', async () => {
  let content = Buffer.from(pem);
  for (let depth = 0; depth < examineLimits.maxDepth; depth += 1) content = gzipSync(content);
  assert.equal((await examined(content)).length, 1);
  await refusedAsLimit(examined(gzipSync(content)));
});

test('what comes out of a decompression is bounded', async () => {
  const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024, 'a'));
  assert.deepEqual(await examined(bomb), []);
  await refusedAsLimit(examined(bomb, { ...examineLimits, maxInflatedBytes: 1024 * 1024 }));
});

test('a text that is made to be searched for long takes no longer than others', async () => {
  const size = 2 * 1024 * 1024;
  const fill = (word: string) => word.repeat(Math.ceil(size / word.length)).slice(0, size);
  const around = (word: string) =>
    `-----BEGIN PRIVATE KEY-----\n${word.repeat(80_000 / word.length)}x\n-----END PRIVATE KEY-----\n`;
  const hostile = [
    ...['{"kty":', '"kty":', '-----BEGIN PRIVATE KEY-----', 'LS0tLS1CRUdJTi', '{"kty":{}'].map(
      fill,
    ),
    ...[' ', '\\', '"', "'+", '\\\\n', ':'].map(around),
  ];
  const startedAt = performance.now();
  for (const text of hostile) assert.deepEqual(await examined(Buffer.from(text)), []);
  const ms = performance.now() - startedAt;
  assert.ok(ms < 5000, `${ms} ms for ${hostile.length} texts`);
});

async function examined(bytes: Uint8Array, limits?: ExamineLimits): Promise<FoundKey[]> {
  const keys: FoundKey[] = [];
  const source = new ByteSource(
    (async function* whole() {
      yield bytes;
    })(),
  );
  const into = {
    found: (key: FoundKey) => keys.push(key),
    unread: (thrown: unknown) => assert.fail(String(thrown)),
    image: () => {},
  };
  await examineContent(source, into, limits);
  return keys;
}

async function refusedAsLimit(examination: Promise<unknown>): Promise<void> {
  await assert.rejects(
    examination,
    (thrown) => thrown instanceof CountersignError && thrown.code === 'ERR_CLI_SCAN_LIMIT',
  );
}
