import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureCrl } from '../bench/crl.bench.ts';

test('a list of a million entries is built within a second, and a look-up takes a microsecond', async (context) => {
  const figures = await measureCrl();
  context.diagnostic(JSON.stringify(figures));
  assert.ok(figures.buildMillis < 1000, `built in ${figures.buildMillis} ms`);
  assert.ok(figures.parseMillis < 1000, `read in ${figures.parseMillis} ms`);
  assert.ok(figures.lookupMicros <= 1, `look-up in ${figures.lookupMicros} µs`);
  assert.ok(figures.missMicros <= 1, `miss in ${figures.missMicros} µs`);
});
