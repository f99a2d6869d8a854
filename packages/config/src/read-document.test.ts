import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { ConfigError, durationSchema, parseYamlDocuments, readConfigText } from './index.ts';

const authority = z.strictObject({
  ca: z.strictObject({
    root: z.strictObject({ algorithm: z.enum(['RSA', 'ECDSA']), validity: durationSchema() }),
    intermediate: z
      .record(z.string(), z.strictObject({ validity: durationSchema().optional() }))
      .default({}),
  }),
});

function failure(text: string): ConfigError {
  try {
    readConfigText(authority, text, 'ca.yaml');
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown;
  }
  return assert.fail('the file was accepted');
}

test('a good file gives typed values, durations in milliseconds', () => {
  const value = readConfigText(
    authority,
    'ca:\n  root: { algorithm: RSA, validity: "87600h" }\n',
    'ca.yaml',
  );
  assert.equal(value.ca.root.validity, 87_600 * 3_600_000);
  assert.deepEqual(value.ca.intermediate, {});
});

test('an unknown key names file, line, column and the nearest valid key', () => {
  const error = failure('ca:\n  root: { algorithm: RSA, validity: 1h }\n  intermediat: {}\n');
  assert.equal(error.code, 'ERR_CONFIG_UNKNOWN_KEY');
  assert.equal(
    error.message,
    'ca.yaml:3:3: unknown key "intermediat" in ca, the nearest valid key is "intermediate"',
  );
});

test('an unknown key inside a named entry is found through the record', () => {
  const error = failure(
    'ca:\n  root: { algorithm: RSA, validity: 1h }\n  intermediate:\n    a:\n      validty: 1h\n',
  );
  assert.match(
    error.message,
    /^ca\.yaml:5:7: unknown key "validty" in ca\.intermediate\.a, .*"validity"$/,
  );
});

test('a wrong value shows both sides', () => {
  const error = failure('ca:\n  root:\n    algorithm: rsaa\n    validity: 10 years\n');
  assert.equal(error.issues.length, 2);
  assert.match(
    error.message,
    /^ca\.yaml:3:16: ca\.root\.algorithm: expected "RSA" or "ECDSA", found "rsaa"/,
  );
  assert.match(error.issues[1]?.message ?? '', /"10 years" is not written as/);
});

test('what is missing is named at the map that lacks it', () => {
  const error = failure('ca:\n  root:\n    algorithm: RSA\n');
  assert.match(error.message, /^ca\.yaml:3:5: ca\.root\.validity: /);
});

test('syntax errors, duplicate keys and second documents carry a position', () => {
  assert.match(failure('ca: [1, 2\n').message, /^ca\.yaml:\d+:\d+: /);
  assert.equal(failure('ca: [1, 2\n').code, 'ERR_CONFIG_SYNTAX');
  assert.match(failure('ca: 1\nca: 2\n').message, /^ca\.yaml:2:1: .*unique/i);
  assert.match(failure('a: 1\n---\nb: 2\n').message, /^ca\.yaml:3:1: a second document/);
});

test('aliases cannot blow a small file up', () => {
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
  for (const [previous, next] of ['ab', 'bc', 'cd', 'de', 'ef'].map((pair) => [...pair])) {
    bomb.push(`${next}: &${next} [${Array(9).fill(`*${previous}`).join(',')}]`);
  }
  assert.throws(() => parseYamlDocuments(bomb.join('\n'), 'bomb.yaml'), {
    code: 'ERR_CONFIG_SYNTAX',
  });
});

test('several documents each know their own positions', () => {
  const documents = parseYamlDocuments('a: 1\n---\n---\nb:\n  - c: 2\n', 'policy.yaml');
  assert.deepEqual(
    documents.map((document) => document.value),
    [{ a: 1 }, { b: [{ c: 2 }] }],
  );
  assert.deepEqual(documents[1]?.positionOf(['b', 0, 'c'], 'key'), { line: 5, column: 5 });
  assert.deepEqual(documents[1]?.positionOf(['b', 0, 'c']), { line: 5, column: 8 });
});
