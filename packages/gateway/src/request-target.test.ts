import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readRequestTarget } from './request-target.ts';

test('equivalent spellings are one path', () => {
  for (const [target, path, query] of [
    ['/', '/', ''],
    ['/a/b?c=%2F..', '/a/b', '?c=%2F..'],
    ['/%61%2D%7e', '/a-~', ''],
    ['/a%2fb', '/a%2Fb', ''],
    ['/%E2%82%AC', '/%E2%82%AC', ''],
    ['/a.b/..c/...', '/a.b/..c/...', ''],
    ['/a?', '/a', '?'],
    ['/a;v=1', '/a;v=1', ''],
  ] as const) {
    assert.deepEqual(readRequestTarget(target), { ok: true, path, query });
  }
});

test('what proxies and servers would disagree about is refused', () => {
  for (const target of [
    ...['', '*', 'a', 'http://a/', '//a', '/a//b', '/.', '/..', '/a/.', '/a/../b', '/a/./b'],
    ...['/%2e%2e/a', '/a/.%2e', '/a/..%2fb', '/a%2f..', '/..;x/a', '/a\\b', '/a%5cb', '/a%00'],
    ...['/a%0d%0a', '/a b', '/a#b', '/é', '/a%zz', '/a%4', '/a?b c'],
    ...['/a%aa', '/a%c0%afb', '/%ed%a0%80'],
  ]) {
    const read = readRequestTarget(target);
    assert.equal(read.ok, false, target);
  }
});

test('a path that is taken is taken again as it is, and stays one path when decoded', () => {
  const piece = fc.constantFrom('/', '.', '..', '%2e', '%2F', '%61', 'a', ';', '%', '\\', '~', '?');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const read = readRequestTarget(`/${pieces.join('')}`);
      if (!read.ok) return;
      assert.deepEqual(readRequestTarget(read.path), { ok: true, path: read.path, query: '' });
      const resolved = new URL(`http://a${read.path.replaceAll('%2F', '/')}`).pathname;
      const decoded = decodeURIComponent(read.path);
      assert.ok(decoded === resolved || read.path.includes('%'), `${read.path} ${resolved}`);
    }),
  );
});
