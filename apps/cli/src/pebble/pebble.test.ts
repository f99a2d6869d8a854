import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseListenAddress } from './listen-address.ts';
import { pebbleAcme, pebbleHierarchies } from './pebble-authority.ts';
import { doubtsAboutPebble, parsePebbleConfig } from './pebble-config.ts';
import { readPebbleEnvironment } from './pebble-environment.ts';
import { parsePebbleFlags } from './pebble-flags.ts';

const least = { listenAddress: ':0', certificate: 'cert.pem', privateKey: 'key.pem' };
const written = (more: object) =>
  parsePebbleConfig(JSON.stringify({ pebble: { ...least, ...more } }), 'pebble.json');

describe('countersign-pebble', () => {
  it('takes flags as Go does', () => {
    const all = { config: 'a.json', dnsServer: ':8053', strict: true, asks: 'nothing' };
    for (const words of [
      ['-config', 'a.json', '-dnsserver', ':8053', '-strict'],
      ['--strict=true', '--config=a.json', '--dnsserver=:8053'],
    ]) {
      assert.deepEqual(parsePebbleFlags(words), all);
    }
    const none = parsePebbleFlags(['-strict=false', '-dnsserver', '']);
    assert.deepEqual(none, {
      ...{ config: 'test/config/pebble-config.json', dnsServer: undefined },
      ...{ strict: false, asks: 'nothing' },
    });
    assert.equal(parsePebbleFlags(['-h']).asks, 'help');
    for (const [words, message] of [
      [['-confg', 'a'], /unknown flag "-confg", nearest is "-config"/],
      [['-strict', 'false'], /"false" is no flag/],
      [['-strict=perhaps'], /"-strict" is true or false/],
      [['-config'], /"-config" needs a value/],
    ] as const) {
      assert.throws(() => parsePebbleFlags(words), { code: 'ERR_USAGE', message });
    }
  });

  it('reads its file with the defaults of Pebble, whatever the case of its members', () => {
    const config = written({ ocspresponderurl: 'http://127.0.0.1:4002', strange: 1 });
    assert.equal(config.ocspResponderURL, 'http://127.0.0.1:4002');
    assert.equal(config.keyAlgorithm, 'rsa');
    assert.deepEqual(config.unknown, ['strange']);
    assert.deepEqual(config.retryAfter, { authz: 0, order: 0 });
    assert.equal(config.profiles.default?.validitySeconds, 7_776_000);
    const profiles = { short: { description: 'a', validityPeriod: 60, promoteCommonName: true } };
    assert.deepEqual(written({ profiles }).profiles.short, {
      ...{ description: 'a', validitySeconds: 60, promoteCommonName: true },
    });
    const wrong = { code: 'ERR_CONFIG_VALUE', message: /pebble\.json: pebble\.keyAlgorithm: / };
    assert.throws(() => written({ keyAlgorithm: 'dsa' }), wrong);
    const bound = { externalAccountBindingRequired: true };
    assert.match(doubtsAboutPebble(written(bound)).join(), /^nobody can register: /);
    const keys = { externalAccountMACKeys: { a: 'AAAA' } };
    assert.deepEqual(doubtsAboutPebble(written({ ...bound, ...keys })), []);
    assert.throws(() => parsePebbleConfig('{', 'x'), { code: 'ERR_CONFIG_SYNTAX' });
  });

  it('reads its environment, and passes over what is none', () => {
    assert.deepEqual(readPebbleEnvironment({}), {
      ...{ sleepMs: 5000, alwaysValid: false, nonceRejectPercent: 5, reusePercent: 50 },
      ...{ alternateRoots: 0, chainLength: 1, ordersPerPage: 3 },
    });
    const said = {
      PEBBLE_VA_NOSLEEP: '1',
      PEBBLE_VA_ALWAYS_VALID: 'True',
      PEBBLE_WFE_NONCEREJECT: '300',
      PEBBLE_AUTHZREUSE: '101',
      PEBBLE_ALTERNATE_ROOTS: '2',
      PEBBLE_CHAIN_LENGTH: '3',
      PEBBLE_WFE_ORDERS_PER_PAGE: 'many',
    };
    assert.deepEqual(readPebbleEnvironment(said), {
      ...{ sleepMs: 0, alwaysValid: true, nonceRejectPercent: 99, reusePercent: 50 },
      ...{ alternateRoots: 2, chainLength: 3, ordersPerPage: 3 },
    });
    assert.equal(readPebbleEnvironment({ PEBBLE_VA_SLEEPTIME: '2' }).sleepMs, 2000);
    for (const [written, percent] of [
      ['100', 100],
      ['101', 99],
      ['-7', 0],
      ['5.5', 5],
      ['12345678901', 99],
      ['9'.repeat(30), 5],
    ] as const) {
      const { nonceRejectPercent } = readPebbleEnvironment({ PEBBLE_WFE_NONCEREJECT: written });
      assert.equal(nonceRejectPercent, percent, written);
    }
    for (const [name, value, words] of [
      ['PEBBLE_CHAIN_LENGTH', '0', /"0", expected 1 to 6/],
      ['PEBBLE_CHAIN_LENGTH', '7', /"7", expected 1 to 6/],
      ['PEBBLE_ALTERNATE_ROOTS', '10', /"10", expected 0 to 9/],
      ['PEBBLE_VA_SLEEPTIME', '12345678901', /expected 1 to 86400/],
    ] as const) {
      const read = () => readPebbleEnvironment({ [name]: value });
      assert.throws(read, { code: 'ERR_USAGE', message: words });
    }
  });

  it('makes as many roots and levels as it is asked for, and gives the default profile first', async () => {
    const environment = readPebbleEnvironment({
      PEBBLE_ALTERNATE_ROOTS: '1',
      PEBBLE_CHAIN_LENGTH: '3',
    });
    const config = written({ keyAlgorithm: 'ecdsa', profiles: { b: {}, default: {} } });
    const [usual, other] = pebbleHierarchies(config, environment);
    const names = usual.intermediates.map(({ name, issuer }) => `${issuer} > ${name}`);
    const levels = ['level-1 > services', 'level-2 > level-1', 'root > level-2'];
    assert.deepEqual(names, levels);
    assert.equal(other?.intermediates.length, 3);
    assert.notEqual(other?.root.subject.commonName, usual.root.subject.commonName);
    const flags = { dnsServer: '[::1]:53', strict: false };
    const acme = await pebbleAcme(config, environment, flags);
    assert.deepEqual(
      acme.profiles.map(({ name }) => name),
      ['default', 'b'],
    );
    assert.deepEqual(acme.validation.vantages, [['[::1]:53']]);
    const keys = written({ externalAccountMACKeys: { a: 'not base64url!' } });
    await assert.rejects(pebbleAcme(keys, environment, flags), /externalAccountMACKeys\.a/);
  });

  it('takes addresses to listen on as Go does', () => {
    assert.deepEqual(parseListenAddress('[::1]:1', 'x'), { host: '::1', port: 1 });
    assert.deepEqual(parseListenAddress(':14000', 'x'), { host: undefined, port: 14_000 });
    for (const wrong of ['14000', '::1:5', '[a]:1', 'host:70000']) {
      assert.throws(() => parseListenAddress(wrong, 'x'), { code: 'ERR_USAGE' });
    }
  });
});
