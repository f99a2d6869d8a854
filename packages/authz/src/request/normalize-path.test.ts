import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathNormalization } from '../policy/mesh-settings.ts';
import { normalizePath } from './normalize-path.ts';

function read(target: string, normalization: PathNormalization): string {
  const result = normalizePath(target, normalization);
  return typeof result === 'string' ? result : `${result.path}${result.query}`;
}

/** What Envoy 1.40 forwards, by its settings for BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES; one text for all. */
const cases: readonly (readonly [
  target: string,
  base: string,
  merged?: string,
  decoded?: string,
])[] = [
  ['/a/../b', '/b'],
  ['/a/..', '/'],
  ['/../..', '/'],
  ['/a/b/%2e%2e', '/a/'],
  ['/a/.%2E/b', '/b'],
  ['/a%2E%2e/b', '/a../b'],
  ['/a/...', '/a/...'],
  ['/a/..;x/b', '/b'],
  ['/a/.;x/b', '/a/b'],
  ['/a/%2e%2e;/b', '/a/..;/b'],
  ['/a;x/../b', '/b'],
  ['/a/..;%2fb', '/', '/', '/b'],
  ['/a\\..\\b', '/b'],
  ['/\\a', '//a', '/a', '/a'],
  ['/a/\\', '/a//', '/a/', '/a/'],
  ['/%41%7e%2d%5f%2e%30', '/A~-_.0'],
  ['/a%2fb', '/a%2fb', '/a%2fb', '/a/b'],
  ['/a%5C..%5cb', '/a%5C..%5cb', '/a%5C..%5cb', '/b'],
  ['/a/%2e%2e%2fb', '/a/..%2fb', '/a/..%2fb', '/b'],
  ['/a%252fb', '/a%252fb'],
  ['///a//', '///a//', '/a/', '/a/'],
  ['/a//../b', '/a/b'],
  ['/a"<>^`{|}', '/a%22%3C%3E%5E%60%7B%7C%7D'],
  ["/a[b]!$&'()*+,:=@", "/a[b]!$&'()*+,:=@"],
  ['/a%zz%', '/a%zz%'],
  ['/a%C3%a9', '/a%C3%a9'],
  ['/a/../b?c=/../d', '/b?c=/../d'],
  ['/plain/path?q=1', '/plain/path?q=1'],
];

test('paths are normalised as Envoy does it', () => {
  for (const [target, base, merged = base, decoded = merged] of cases) {
    assert.equal(read(target, 'NONE'), target);
    assert.equal(read(target, 'BASE'), base, target);
    assert.equal(read(target, 'MERGE_SLASHES'), merged, target);
    assert.equal(read(target, 'DECODE_AND_MERGE_SLASHES'), decoded, target);
  }
});

test('what Envoy answers with 400 has no path', () => {
  for (const target of ['/a#b', '/a?b#c', '/a b', '/\u00e9', '*', 'a', '', '/\u0001']) {
    for (const normalization of ['NONE', 'BASE'] as const) {
      assert.equal(typeof normalizePath(target, normalization), 'string', target);
    }
  }
  assert.equal(read('/a%00b', 'BASE'), 'has an encoded zero byte');
  assert.equal(read('/a%00b', 'NONE'), '/a%00b');
});

test('a long path costs no more than its length', () => {
  for (const part of ['/../', '%2e', ';', '//', '\\', '/a', '"']) {
    assert.ok(read(`/${part.repeat(20_000)}`, 'DECODE_AND_MERGE_SLASHES').length > 0);
  }
});
