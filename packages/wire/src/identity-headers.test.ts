import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import fc from 'fast-check';
import {
  clientCertHeaders,
  type ForwardedClientCert,
  formatClientCertChain,
  formatXfcc,
  isIdentityHeader,
  parseClientCert,
  parseClientCertChain,
  parseXfcc,
  subjectForHeader,
} from './index.ts';

const printable = fc
  .array(fc.integer({ min: 0x20, max: 0x7e }), { minLength: 1, maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes))
  .filter((text) => !text.endsWith('\\'));
const element: fc.Arbitrary<ForwardedClientCert> = fc
  .tuple(
    fc.array(printable, { maxLength: 2 }),
    fc.array(printable, { maxLength: 3 }),
    fc.array(printable, { maxLength: 3 }),
    fc.record(
      { hash: printable, subject: printable, cert: fc.string({ unit: 'grapheme' }) },
      { requiredKeys: [] },
    ),
  )
  .map(([by, uri, dns, single]) => ({ by, uri, dns, ...single }))
  .filter((e) => e.by.length + e.uri.length + e.dns.length > 0 || Object.keys(e).length > 3);

test('x-forwarded-client-cert comes back as it was written, element by element', () => {
  fc.assert(
    fc.property(fc.array(element, { minLength: 1, maxLength: 3 }), (elements) => {
      assert.deepEqual(parseXfcc(formatXfcc(...elements)), elements);
    }),
    { numRuns: 300 },
  );
});

test('x-forwarded-client-cert is written as Envoy writes it', () => {
  const written = formatXfcc({
    by: ['spiffe://example.com/gateway'],
    hash: 'ab12',
    subject: '',
    uri: ['spiffe://example.com/a', 'https://a.example/?x=1,2'],
    dns: ['a.example', 'b.example'],
  });
  assert.equal(
    written,
    'By=spiffe://example.com/gateway;Hash=ab12;Subject="";URI=spiffe://example.com/a;' +
      'URI="https://a.example/?x=1,2";DNS=a.example;DNS=b.example',
  );
});

test('x-forwarded-client-cert of Envoy and Istio is read', () => {
  const envoy =
    'By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;' +
    'Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client";URI=http://testclient.lyft.com,' +
    'by=spiffe://c/ns/d/sa/e;hash=x;subject="CN=a\\"b,O=c;d";uri=https://e.example/?f=g;Cert="-----BEGIN%20X-----%0A"';
  assert.deepEqual(parseXfcc(envoy), [
    {
      by: ['http://frontend.lyft.com'],
      hash: '468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688',
      subject: '/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client',
      uri: ['http://testclient.lyft.com'],
      dns: [],
    },
    {
      by: ['spiffe://c/ns/d/sa/e'],
      hash: 'x',
      subject: 'CN=a"b,O=c;d',
      cert: '-----BEGIN X-----\n',
      uri: ['https://e.example/?f=g'],
      dns: [],
    },
  ]);
});

test('a malformed x-forwarded-client-cert is refused, whatever it is', () => {
  const bad = [
    '',
    'By',
    'By=a;',
    'By=a,',
    'Who=a',
    'By="a',
    'By=a"b"',
    'Hash=a;Hash=b',
    'By=é',
    'Cert="%zz"',
  ];
  for (const header of bad) {
    assert.throws(() => parseXfcc(header), { code: 'ERR_WIRE_XFCC' }, header);
  }
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'By=Hash;,"\\ URI%') }), (header) => {
      try {
        parseXfcc(header);
      } catch (thrown) {
        assert.ok(thrown instanceof CountersignError, String(thrown));
      }
    }),
  );
});

test('a value that would swallow its closing quote, or break the line, is not written', () => {
  for (const subject of ['CN=a\\', 'CN=a\r\nx: y', 'CN=é']) {
    assert.throws(() => formatXfcc({ by: [], subject, uri: [], dns: [] }), {
      code: 'ERR_WIRE_XFCC',
    });
  }
});

test('a subject for the header has no quote and no escaped backslash, and can always be written', () => {
  assert.equal(subjectForHeader('CN=a\\"b\\\\,O=é'), 'CN=a\\22b\\5C,O=\\C3\\A9');
  assert.equal(subjectForHeader('CN=a\\,b'), 'CN=a\\,b');
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/["\\]/g, '\\$&')),
      (text) => {
        const subject = subjectForHeader(text);
        assert.match(subject, /^[\x20-\x7e]*$/);
        const [read] = parseXfcc(formatXfcc({ by: [], subject, uri: [], dns: [] }));
        assert.equal(read?.subject, subject);
      },
    ),
  );
});

const der = fc.uint8Array({ minLength: 1, maxLength: 300 });

test('Client-Cert and Client-Cert-Chain of RFC 9440 come back as they were, without the anchor', () => {
  fc.assert(
    fc.property(fc.array(der, { minLength: 2, maxLength: 5 }), (ders) => {
      const headers = clientCertHeaders(ders.map((raw) => ({ raw })));
      assert.deepEqual(parseClientCert(headers['client-cert']), ders[0]);
      const between = ders.slice(1, -1);
      const chain = headers['client-cert-chain'];
      assert.deepEqual(chain === undefined ? [] : parseClientCertChain(chain), between);
    }),
  );
});

test('a malformed Client-Cert is refused, parameters and padding errors included', () => {
  for (const header of [
    '',
    ':',
    '::',
    'AAAA',
    ':AAA:',
    ':AAAA:;a=1',
    ':AA=A:',
    ':AAAA: x',
    ':A AA:',
  ]) {
    assert.throws(() => parseClientCert(header), { code: 'ERR_WIRE_CLIENT_CERT' }, header);
  }
  assert.deepEqual(parseClientCertChain(':AAAA:,\t:AAAB: '), [
    new Uint8Array(3),
    new Uint8Array([0, 0, 1]),
  ]);
  const many = formatClientCertChain(Array.from({ length: 17 }, () => new Uint8Array(1)));
  assert.throws(() => parseClientCertChain(many), /17 items, at most 16/);
});

test('identity headers are known in every spelling, and nothing else is taken for one', () => {
  const identity = [
    'X-Forwarded-Client-Cert',
    'client-cert',
    'Client-Cert-Chain',
    'X-SPIFFE-ID',
    'x_spiffe_id',
    'ssl-client-verify',
    'ssl_client_s_dn',
    'X-SSL-Client-S-DN',
    'x-client-cert',
    'X-Client-Certificate',
    'x-amzn-mtls-clientcert-leaf',
    'X-Forwarded-Tls-Client-Cert-Info',
    'X-ARR-ClientCert',
    'x-ssl-cert',
    'l5d-client-id',
    'Cf-Client-Cert-Sha256',
    'X-SSL-Verified',
  ];
  for (const name of identity) assert.ok(isIdentityHeader(name), name);
  const others = [
    'x-forwarded-for',
    'client',
    'x-client-version',
    'ssl',
    'x-request-id',
    'authorization',
    'cookie',
  ];
  for (const name of others) assert.ok(!isIdentityHeader(name), name);
});
