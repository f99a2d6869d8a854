import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from './duration.ts';

test('durations read as Go and Vault write them', () => {
  for (const [written, ms] of [
    ['24h', 86_400_000],
    ['87600h', 315_360_000_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['20s', 20_000],
    ['250ms', 250],
    ['7d', 604_800_000],
    ['3600', 3_600_000],
    [90, 90_000],
  ] as const) {
    assert.equal(parseDuration(written), ms, String(written));
  }
});

test('what is no duration is refused with what was written', () => {
  for (const written of [
    '',
    'h',
    '10 years',
    '-1h',
    '1h 30m',
    '1.5',
    '1e9h',
    '9999999999h',
    'NaN',
  ]) {
    assert.throws(() => parseDuration(written), { code: 'ERR_DURATION' }, written);
  }
});

test('a duration for people uses the largest units that fit', () => {
  assert.equal(formatDuration(90_000), '1m30s');
  assert.equal(formatDuration(86_400_000), '24h');
  assert.equal(formatDuration(12.4), '12ms');
  assert.equal(formatDuration(3_600_000 + 1000), '1h1s');
});
