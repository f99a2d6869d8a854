import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { Cli } from '../cli.ts';
import { readBatchFile } from './batch-file.ts';

const read = (text: string) =>
  readBatchFile({ stdin: Readable.from([Buffer.from(text)]) } as unknown as Cli, '-');

test('a line is an order, under its name or the number of its line', async () => {
  const orders = await read(
    '# for the night\n{"dns":["a"],"ttl":"90s"}\r\n\n{"name":"b","ip":["::1"]}',
  );
  assert.deepEqual(orders, [
    { name: '2', spiffeId: undefined, dns: ['a'], ip: [], wishes: { ttlMs: 90_000 } },
    { name: 'b', spiffeId: undefined, dns: [], ip: ['::1'], wishes: {} },
  ]);
});

test('what cannot be read is told with its line, before anything is ordered', async () => {
  for (const [text, reason] of [
    ['{"name": "a"}', /^standard input, line 1: no name is ordered$/],
    ['{"spiffeId": "spiffe://example.com/a", "spifeId": 1}', /line 1: .*nearest is "spiffeId"$/],
    ['{"name": "../a", "dns": ["a"]}', /the name "..\/a" is no plain name of a directory$/],
    ['{"name": "a", "dns": ["a"]}\n{"name": "a", "dns": ["b"]}', /line 2: .* that of line 1$/],
    ['{"dns": ["a"], "ttl": "soon"}', /line 1: .*"soon"/],
    ['nonsense', /line 1: it is no JSON$/],
    ['\n', /holds no order$/],
  ] as const) {
    await assert.rejects(read(text), { code: 'ERR_CLI_BATCH', message: reason });
  }
});
