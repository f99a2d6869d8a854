import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern } from './peer-rules.ts';

const rows: readonly [pattern: string, matches: readonly string[], others: readonly string[]][] = [
  [
    'spiffe://example.com/ns/prod/sa/web',
    ['spiffe://example.com/ns/prod/sa/web'],
    [
      'spiffe://example.com/ns/prod/sa/web2',
      'spiffe://example.com/ns/prod/sa/web/x',
      'spiffe://example.org/ns/prod/sa/web',
    ],
  ],
  [
    'spiffe://example.com/ns/*/sa/web',
    ['spiffe://example.com/ns/prod/sa/web', 'spiffe://example.com/ns/dev/sa/web'],
    ['spiffe://example.com/ns/sa/web', 'spiffe://example.com/ns/a/b/sa/web'],
  ],
  [
    'spiffe://example.com/ns/prod/**',
    ['spiffe://example.com/ns/prod/sa', 'spiffe://example.com/ns/prod/sa/web/x'],
    ['spiffe://example.com/ns/prod', 'spiffe://example.com/ns/production/sa'],
  ],
  [
    'spiffe://example.com/**',
    ['spiffe://example.com/x'],
    ['spiffe://example.com', 'spiffe://example.com.evil.org/x', ''],
  ],
];

test('patterns are of whole segments, and a SPIFFE ID of another trust domain never matches', () => {
  for (const [pattern, matches, others] of rows) {
    const matchesId = compilePattern(pattern);
    for (const id of matches) assert.ok(matchesId(id), `${pattern} ${id}`);
    for (const id of others) assert.ok(!matchesId(id), `${pattern} ${id}`);
  }
});

test('what is no pattern is refused, so that no rule means less or more than it says', () => {
  for (const pattern of [
    '',
    '*',
    '**',
    'spiffe://*/web',
    'spiffe://**',
    'spiffe://example.com/ns/pr*',
    'spiffe://example.com/**/web',
    'https://example.com/web',
    'spiffe://example.com/web/',
  ]) {
    assert.throws(() => compilePattern(pattern), { code: 'ERR_IDENTITY_PATTERN' }, pattern);
  }
});
