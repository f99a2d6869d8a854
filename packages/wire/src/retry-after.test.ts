import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryAfterOf } from './retry-after.ts';

test('Retry-After is seconds, or a date by the clock of whoever answers', () => {
  const date = 'Tue, 24 Nov 2026 12:00:00 GMT';
  for (const [headers, ms] of [
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT', date }, 30_000],
    [{ 'retry-after': 'Tue, 24 Nov 2026 11:00:00 GMT', date }, 0],
    [{ 'retry-after': '999999999' }, 3_600_000],
    [{ 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT' }, undefined],
    [{ 'retry-after': '-1' }, undefined],
    [{ 'retry-after': 'soon', date }, undefined],
    [{}, undefined],
  ] as const) {
    assert.equal(retryAfterOf(headers), ms, JSON.stringify(headers));
  }
});
