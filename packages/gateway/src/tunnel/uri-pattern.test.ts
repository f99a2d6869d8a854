import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uriPattern } from './uri-pattern.ts';

test('patterns of URIs are read as ghostunnel reads them', () => {
  const cases: readonly (readonly [pattern: string, uri: string, isMatch: boolean])[] = [
    ['spiffe://example.com/shop', 'spiffe://example.com/shop', true],
    ['spiffe://example.com/shop', 'spiffe://example.com/shop/', true],
    ['spiffe://example.com/shop/', 'spiffe://example.com/shop', true],
    ['spiffe://example.com/shop', 'spiffe://example.com/shop/1', false],
    ['spiffe://example.com/shop', 'spiffe://example.com/shop2', false],
    ['spiffe://example.com/*', 'spiffe://example.com/shop', true],
    ['spiffe://example.com/*', 'spiffe://example.com/', false],
    ['spiffe://example.com/*', 'spiffe://example.com/a/b', false],
    ['spiffe://example.com/*/shop', 'spiffe://example.com/prod/shop', true],
    ['spiffe://example.com/*/shop', 'spiffe://example.com//shop', false],
    ['spiffe://*/shop', 'spiffe://example.com/shop', true],
    ['spiffe://example.com/**', 'spiffe://example.com', true],
    ['spiffe://example.com/**', 'spiffe://example.com/', true],
    ['spiffe://example.com/**', 'spiffe://example.com/a/b/c', true],
    ['spiffe://example.com/**', 'spiffe://example.com.evil/a', false],
    ['spiffe://example.com/ns/**', 'spiffe://example.com/nsa', false],
    ['spiffe://example.com/a.c', 'spiffe://example.com/abc', false],
    ['**', 'anything://at/all', true],
  ];
  for (const [pattern, uri, isMatch] of cases) {
    assert.equal(uriPattern(pattern)?.(uri), isMatch, `${pattern} on ${uri}`);
  }
  for (const wrong of ['', 'spiffe://example.com/sh*', 'spiffe://**/shop', 'a**', '***']) {
    assert.equal(uriPattern(wrong), undefined, wrong);
  }
});
