import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '@countersign/config';
import { parseCaConfig } from '../ca-config.ts';

const rest = `
ca: {}
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
`;
const day = 86_400_000;

describe('publish in ca.yaml', () => {
  it('is off unless it is there', () => {
    assert.equal(parseCaConfig(rest, 'ca.yaml').publish, undefined);
    assert.equal(parseCaConfig(`publish:\n${rest}`, 'ca.yaml').publish, undefined);
  });

  it('needs no more than the address that certificates name', () => {
    const config = parseCaConfig(`publish: { url: "http://pki.example.com/" }${rest}`, 'ca.yaml');
    assert.deepEqual(config.publish, {
      url: 'http://pki.example.com',
      address: '127.0.0.1',
      port: 8480,
      crl: {
        validityMs: day,
        refreshMs: day / 2,
        rootValidityMs: 30 * day,
        deltaMs: undefined,
        shards: 1,
        coalesceMs: 1000,
        maxAgeMs: 60_000,
      },
      ocsp: { validityMs: day / 24, responderMs: 7 * day },
    });
  });

  it('takes every key', () => {
    const config = parseCaConfig(
      `publish:
  url: http://pki.example.com:8480/acme
  address: "::"
  port: 0
  crl: { enabled: true, validity: 48h, refresh: 6h, root_validity: 90d, delta: 30m, shards: 16, coalesce: 500ms, max_age: 5m }
  ocsp: { enabled: true, validity: 10m, responder: 24h }
${rest}`,
      'ca.yaml',
    );
    assert.deepEqual(config.publish, {
      url: 'http://pki.example.com:8480/acme',
      address: '::',
      port: 0,
      crl: {
        validityMs: 2 * day,
        refreshMs: day / 4,
        rootValidityMs: 90 * day,
        deltaMs: day / 48,
        shards: 16,
        coalesceMs: 500,
        maxAgeMs: 300_000,
      },
      ocsp: { validityMs: 600_000, responderMs: day },
    });
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    ['{}', /publish\.url: expected the address .*, found none/],
    ['{ url: https://pki.example.com }', /"https:\/\/pki\.example\.com", which is not plain http/],
    ['{ url: pki.example.com }', /publish\.url/],
    ['{ url: "http://me@pki.example.com" }', /with "me"/],
    ['{ url: "http://pki.example.com?a=b" }', /with "\?a=b"/],
    ['{ url: http://a, address: localhost }', /publish\.address: expected an IP address/],
    ['{ url: http://a, port: 65536 }', /port/],
    [
      '{ url: http://a, crl: { validity: 1h, refresh: 2h } }',
      /crl\.refresh: expected at most 1h \(validity\), found 2h/,
    ],
    ['{ url: http://a, crl: { validity: 1s } }', /crl\.validity: expected at least 2s, found 1s/],
    ['{ url: http://a, crl: { coalesce: 1ms } }', /crl\.coalesce: expected at least 100ms/],
    ['{ url: http://a, crl: { delta: 48h } }', /crl\.delta: expected at most 24h/],
    ['{ url: http://a, crl: { delta: often } }', /delta/],
    ['{ url: http://a, crl: { shards: 0 } }', /shards: expected 1 to 999 lists, found 0/],
    ['{ url: http://a, crl: { shards: 1000 } }', /shards: expected 1 to 999 lists, found 1000/],
    [
      '{ url: http://a, ocsp: { validity: 2h, responder: 3h } }',
      /responder: expected at least 4h \(twice the validity\), found 3h/,
    ],
    [
      '{ url: http://a, crl: { enabled: false }, ocsp: { enabled: false } }',
      /nothing is published/,
    ],
    ['{ url: http://a, clr: {} }', /unknown key "clr" in publish, the nearest valid key is "crl"/],
  ];
  for (const [written, message] of wrong) {
    it(`refuses ${written}`, () => {
      assert.throws(
        () => parseCaConfig(`publish: ${written}${rest}`, 'ca.yaml'),
        (thrown) =>
          thrown instanceof ConfigError &&
          thrown.issues.some((issue) => message.test(issue.message)),
      );
    });
  }
});
