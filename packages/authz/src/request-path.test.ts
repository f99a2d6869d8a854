import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPath } from './request-path.ts';

const readings: readonly (readonly [string, string, ...string[]])[] = [
  ['/', '/'],
  ['/a/b', '/a/b'],
  ['/a/b/', '/a/b/'],
  ['*', '*'],
  ['/a?b=/../c', '/a'],
  ['/a?b#c', '/a'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/../../a', '/a'],
  ['/a/..', '/'],
  ['/a/b/.', '/a/b/'],
  ['/.well-known/x', '/.well-known/x'],
  ['/a/...', '/a/...'],
  ['/%61dmin', '/admin'],
  ['/a/%2e%2E/b', '/b'],
  ['/a\\b', '/a/b'],
  ['/a\\..\\b', '/b'],
  ['/my%20docs', '/my%20docs', '/my docs'],
  ['/caf%c3%a9', '/caf%C3%A9', '/café'],
  ['/a%2fb', '/a%2Fb', '/a/b'],
  ['/a%5Cb', '/a%5Cb', '/a/b'],
  ['/a//b', '/a//b', '/a/b'],
  ['/a%252fb', '/a%252fb', '/a%2fb'],
  ['/a;v=1/b', '/a;v=1/b', '/a/b'],
  ['/a/..;/b', '/a/..;/b', '/b'],
  ['/a%3Bv/b', '/a%3Bv/b', '/a;v/b', '/a/b'],
  ['/p/..%2fadmin', '/p/..%2Fadmin', '/admin'],
  ['/p//../admin', '/p/admin', '/admin'],
  ['/%zz', '/%zz'],
];

for (const [target, base, ...others] of readings) {
  test(`"${target}" is read as ${[base, ...others].map((each) => `"${each}"`).join(' and ')}`, () => {
    const path = readPath(target);
    assert.ok(typeof path !== 'string', String(path));
    assert.equal(path.base, base);
    assert.deepEqual(path.others, others);
  });
}

test('what no two servers read alike is not read at all', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /does not begin/],
    ['admin', /does not begin/],
    ['http://a.example/admin', /does not begin/],
    ['a.example:443', /does not begin/],
    ['/a#b', /has a fragment/],
    ['/a%00.png', /has a zero byte/],
    ['/a\0', /has a zero byte/],
  ];
  for (const [target, reason] of cases) {
    const path = readPath(target);
    assert.match(typeof path === 'string' ? path : 'read', reason, target);
  }
});

test('the base reading resolves dots and slashes as the URL standard does', () => {
  const part = fc.constantFrom('a', 'b', '.', '..', '/', '//', '%2e', '%2E', '\\', '%41', '...');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 10 }), (parts) => {
      const target = `/${parts.join('')}`;
      const path = readPath(target);
      assert.ok(typeof path !== 'string');
      // an authority of its own, so that a leading "//" stays a path
      const url = new URL(`http://a.example${target}`);
      assert.equal(path.base, url.pathname.replaceAll('%41', 'A').replaceAll(/%2e/gi, '.'));
    }),
    { numRuns: 1000 },
  );
});

test('reading a base reading again changes nothing', () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab./\\;%2eF5C ') });
  fc.assert(
    fc.property(text, (rest) => {
      const once = readPath(`/${rest}`);
      if (typeof once === 'string') return;
      const again = readPath(once.base);
      assert.ok(typeof again !== 'string');
      assert.equal(again.base, once.base);
    }),
    { numRuns: 1000 },
  );
});
