import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CountersignError } from '@countersign/base';
import { formatRfc3339, parseRfc3339 } from './rfc3339.ts';

test('a time is read with any offset, fractions and leap seconds', () => {
  const cases: Readonly<Record<string, string>> = {
    '2026-01-31T12:00:00Z': '2026-01-31T12:00:00Z',
    '2026-01-31t12:00:00z': '2026-01-31T12:00:00Z',
    '2026-01-31T12:00:00+05:30': '2026-01-31T06:30:00Z',
    '2026-01-31T23:30:00-01:00': '2026-02-01T00:30:00Z',
    '2024-02-29T00:00:00.1239Z': '2024-02-29T00:00:00.123Z',
    '2016-12-31T23:59:60Z': '2017-01-01T00:00:00Z',
    '0050-01-01T00:00:00Z': '0050-01-01T00:00:00Z',
    '2024-01-01T00:00:00-00:00': '2024-01-01T00:00:00Z',
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal(formatRfc3339(parseRfc3339(text)), expected, text);
  }
});

test('what is not such a time is refused', () => {
  for (const text of [
    '',
    '2026-01-31',
    '2026-01-31T12:00:00',
    '2026-01-31 12:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31T12:60:00Z',
    '2026-01-31T12:00:61Z',
    '2026-01-31T12:00:00+24:00',
    '2026-01-31T12:00:00+0200',
    '２026-01-31T12:00:00Z',
  ]) {
    assert.throws(
      () => parseRfc3339(text),
      { code: 'ERR_CLI_TIME' } satisfies Partial<CountersignError>,
      text,
    );
  }
});
