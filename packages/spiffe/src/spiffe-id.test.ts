import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { parseSpiffeId, parseTrustDomain, SpiffeId, spiffeIdOf } from './spiffe-id.ts';

const good: readonly (readonly [string, string, string])[] = [
  ['spiffe://trustdomain', 'trustdomain', ''],
  ['spiffe://trustdomain/path', 'trustdomain', '/path'],
  ['spiffe://trustdomain/path1/path2', 'trustdomain', '/path1/path2'],
  ['spiffe://trustdomain/.path', 'trustdomain', '/.path'],
  ['spiffe://trustdomain/..path', 'trustdomain', '/..path'],
  ['spiffe://trustdomain/...', 'trustdomain', '/...'],
  ['spiffe://staging.example.com/payments/web-fe', 'staging.example.com', '/payments/web-fe'],
  ['spiffe://example.com/ns/prod/sa/Web_1', 'example.com', '/ns/prod/sa/Web_1'],
  ['spiffe://1.2.3.4/service', '1.2.3.4', '/service'],
  [`spiffe://${'d'.repeat(255)}/p`, 'd'.repeat(255), '/p'],
];

const bad: readonly (readonly [string, RegExp])[] = [
  ['', /is empty/],
  ['s', /does not begin with/],
  ['spiffe:/', /does not begin with/],
  ['spiffe:/trustdomain/path', /does not begin with/],
  ['Spiffe://trustdomain/path', /does not begin with/],
  ['SPIFFE://trustdomain', /does not begin with/],
  ['http://trustdomain/path', /does not begin with/],
  [' spiffe://trustdomain/path', /does not begin with/],
  ['spiffe://', /trust domain that is empty/],
  ['spiffe:///', /trust domain that is empty/],
  ['spiffe:///path', /trust domain that is empty/],
  ['spiffe://trust$domain/path', /trust domain that has "\$"/],
  ['spiffe://trustDomain/path', /not lowercase, "trustdomain" would be/],
  ['spiffe://trustdomain:80/path', /trust domain that has ":"/],
  ['spiffe://user@trustdomain/path', /trust domain that has "@"/],
  ['spiffe://[::1]/path', /trust domain that has "\["/],
  ['spiffe://%62%61%64/path', /trust domain that has "%"/],
  ['spiffe://trustdomain?query', /trust domain that has "\?"/],
  ['spiffe://trustdomain#fragment', /trust domain that has "#"/],
  ['spiffe://trustdomain/', /ends with "\/"/],
  ['spiffe://trustdomain//', /has an empty path segment|ends with "\/"/],
  ['spiffe://trustdomain//path', /has an empty path segment/],
  ['spiffe://trustdomain/path/', /ends with "\/"/],
  ['spiffe://trustdomain/.', /path segment "\."/],
  ['spiffe://trustdomain/./path', /path segment "\."/],
  ['spiffe://trustdomain/path/./other', /path segment "\."/],
  ['spiffe://trustdomain/path/..', /path segment "\.\."/],
  ['spiffe://trustdomain/../path', /path segment "\.\."/],
  ['spiffe://trustdomain/path?query=1', /has "\?" in its path/],
  ['spiffe://trustdomain/path#fragment', /has "#" in its path/],
  ['spiffe://trustdomain/%F0%9F%A4%AF', /has "%" in its path/],
  ['spiffe://trustdomain/pa th', /has " " in its path/],
  ['spiffe://trustdomain/path\n', /has "\\n" in its path/],
  ['spiffe://trustdomain/påth', /has "å" in its path/],
  [`spiffe://${'d'.repeat(256)}/p`, /trust domain that has 256 bytes, at most 255/],
  [`spiffe://d/${'p'.repeat(2038)}`, /has 2049 bytes, at most 2048/],
];

test('good SPIFFE IDs are read as trust domain and path, and written as they were', () => {
  for (const [text, trustDomain, path] of good) {
    const id = parseSpiffeId(text);
    assert.deepEqual([id.trustDomain, id.path, id.toString()], [trustDomain, path, text]);
  }
  assert.equal(parseSpiffeId(`spiffe://d/${'p'.repeat(2037)}`).toString().length, 2048);
});

test('bad SPIFFE IDs are refused with what is wrong and where', () => {
  for (const [text, reason] of bad) {
    assert.throws(() => parseSpiffeId(text), { code: 'ERR_SPIFFE_ID', message: reason });
    assert.equal(spiffeIdOf(text), undefined, text);
  }
});

test('of all Latin-1 characters only those of the standard are taken', () => {
  for (let code = 0; code < 256; code += 1) {
    const character = String.fromCharCode(code);
    if (character === '/') continue;
    const inDomain = spiffeIdOf(`spiffe://trustdomain${character}/path`) !== undefined;
    assert.equal(inDomain, /^[a-z0-9._-]$/.test(character), `trust domain ${code}`);
    const inPath = spiffeIdOf(`spiffe://trustdomain/path${character}`) !== undefined;
    assert.equal(inPath, /^[a-zA-Z0-9._-]$/.test(character), `path ${code}`);
  }
});

test('a long or odd value cannot flood or forge a log line', () => {
  const flood = `spiffe://example.com/\u001b[31m${'x'.repeat(100_000)}`;
  assert.throws(
    () => parseSpiffeId(flood),
    (thrown: Error) =>
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      thrown.message.length < 400 && !/[\u0000-\u001f]/.test(thrown.message),
  );
});

test('any text is either an ID that writes itself back, or refused with the code', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...'spiffe:/a.A_-%') }).map((rest) => `spiffe://${rest}`),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      const id = spiffeIdOf(candidate);
      if (id === undefined) {
        assert.throws(() => parseSpiffeId(candidate), { code: 'ERR_SPIFFE_ID' });
        return;
      }
      assert.equal(id.toString(), candidate);
      assert.equal(new URL(candidate).href.replace(/\/$/, ''), candidate);
    }),
  );
});

test('two IDs are equal if and only if their texts are', () => {
  const id = parseSpiffeId('spiffe://example.com/a');
  assert.ok(id.equals(parseSpiffeId('spiffe://example.com/a')));
  assert.ok(!id.equals(parseSpiffeId('spiffe://example.com/A')));
  assert.ok(!id.equals(undefined));
});

test('an ID prints as its text and cannot be made without parsing', () => {
  const id = parseSpiffeId('spiffe://example.com/a');
  assert.equal(JSON.stringify({ id }), '{"id":"spiffe://example.com/a"}');
  assert.equal(inspect(id), 'spiffe://example.com/a');
  assert.throws(() => new SpiffeId(Symbol() as never, 'spiffe://b/c', 'b'), TypeError);
});

test('a trust domain is taken with and without its scheme', () => {
  assert.equal(parseTrustDomain('example.com'), 'example.com');
  assert.equal(parseTrustDomain('spiffe://example.com'), 'example.com');
  for (const text of ['', 'Example.com', 'example.com/', 'spiffe://example.com/a', 'a:1', 'a b']) {
    assert.throws(() => parseTrustDomain(text), { code: 'ERR_SPIFFE_TRUST_DOMAIN' });
  }
});
