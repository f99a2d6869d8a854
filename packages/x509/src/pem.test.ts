import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePem, decodePemOf, encodePem } from './pem.ts';

const body = new Uint8Array(100).map((_, i) => i);
const block = encodePem('CERTIFICATE', body);

test('blocks are found among explanatory text, whatever the line ends', () => {
  const text = `Subject: CN=a\n-----------\n${block}\nIssuer: -----\n${encodePem('X509 CRL', body.subarray(0, 48))}trailing`;
  for (const variant of [text, text.replaceAll('\n', '\r\n'), Buffer.from(text)]) {
    const blocks = decodePem(variant);
    assert.deepEqual(
      blocks.map(({ label }) => label),
      ['CERTIFICATE', 'X509 CRL'],
    );
    assert.deepEqual(blocks[0]?.bytes, body);
  }
  assert.deepEqual(decodePemOf(text, ['X509 CRL']), [body.subarray(0, 48)]);
});

test('any line length is read, and lines of 64 are written', () => {
  const [begin, ...lines] = block.trimEnd().split('\n');
  assert.deepEqual(
    lines.slice(0, -1).map((line) => line.length),
    [64, 64, 8],
  );
  const long = `${begin}\n${lines.slice(0, -1).join('')}\n${lines.at(-1)}`;
  assert.deepEqual(decodePem(long)[0]?.bytes, body);
});

test('what is malformed is refused by line, without its content', () => {
  const secret = 'c2VjcmV0c2VjcmV0';
  const cases: readonly (readonly [string, string])[] = [
    ['', 'ERR_PEM_NONE'],
    ['no block here', 'ERR_PEM_NONE'],
    [`-----BEGIN A-----\n${secret}`, 'ERR_PEM_MALFORMED'],
    [`-----BEGIN A-----\n${secret}\n-----END B-----`, 'ERR_PEM_MALFORMED'],
    [`-----BEGIN A-----\n${secret}\n-----BEGIN A-----`, 'ERR_PEM_MALFORMED'],
    [`-----BEGIN A-----\n${secret}!\n-----END A-----`, 'ERR_PEM_MALFORMED'],
    [`-----BEGIN A-----\n${secret}=\n-----END A-----`, 'ERR_PEM_MALFORMED'],
    ['-----BEGIN A-----\nAB==\n-----END A-----', 'ERR_PEM_MALFORMED'],
    ['-----BEGIN A-----\n-----END A-----', 'ERR_PEM_MALFORMED'],
    [`-----BEGIN A-----\nX: ${secret}\n\n${secret}\n-----END A-----`, 'ERR_PEM_MALFORMED'],
    [
      `-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\n${secret}\n-----END A-----`,
      'ERR_KEY_ENCRYPTED',
    ],
    [`${secret}\n-----END A-----`, 'ERR_PEM_MALFORMED'],
    [`-----BEGIN a-----\n${secret}\n-----END a-----`, 'ERR_PEM_MALFORMED'],
  ];
  for (const [text, code] of cases) {
    assert.throws(
      () => decodePem(text),
      (thrown) => {
        assert.ok(thrown instanceof Error && 'code' in thrown);
        assert.equal(thrown.code, code, text);
        assert.ok(!thrown.message.includes(secret));
        return true;
      },
      text,
    );
  }
});

test('length and number of blocks are bounded', () => {
  const limits = { maxLength: 1000, maxBlocks: 2 };
  assert.equal(decodePem(block.repeat(2), limits).length, 2);
  assert.throws(() => decodePem(block.repeat(3), limits), { code: 'ERR_PEM_LIMIT' });
  assert.throws(() => decodePem(`${' '.repeat(1000)}${block}`, limits), { code: 'ERR_PEM_LIMIT' });
  assert.throws(() => decodePemOf(block, ['X509 CRL']), { code: 'ERR_PEM_NONE' });
});
