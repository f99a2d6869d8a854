import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { fingerprintOf } from '../parse-certificate.ts';
import { buildJks } from './build-jks.ts';
import { buildPkcs12 } from './build-pkcs12.ts';
import type { KeyStoreContent } from './key-store.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-keystore-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const ca = testCa({ at: Date.UTC(2026, 0, 1) });
const issuing = ca.intermediate();
const password = 'change it-1';
const common = {
  password,
  createdAt: Date.UTC(2026, 0, 1),
  randomBytes: (size: number) => new Uint8Array(randomBytes(size)),
};

const kinds = [
  { type: 'EC', curve: 'P-256' },
  { type: 'RSA', bits: 2048 },
] as const;

for (const key of kinds) {
  const leaf = issuing.svid('spiffe://example.com/ns/prod/sa/kafka', { key });
  const content: KeyStoreContent = {
    ...common,
    key: { alias: 'kafka', privateKey: leaf.privateKey, chain: leaf.chain },
  };
  describe(`a key store with an ${key.type} key`, () => {
    test('is read by openssl pkcs12: key, chain and MAC', (t) => {
      if (spawnSync('openssl', ['version']).status !== 0) return t.skip('no openssl');
      const path = put(`${key.type}.p12`, buildPkcs12(content));
      const read = run('openssl', ['pkcs12', '-in', path, '-nodes', '-passin', `pass:${password}`]);
      const found = createPrivateKey(read);
      assert.deepEqual(
        found.export({ type: 'pkcs8', format: 'der' }),
        leaf.privateKey.export({ type: 'pkcs8', format: 'der' }),
      );
      const serials = read.match(/-----BEGIN CERT[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
      assert.equal(serials.length, leaf.chain.length);
      assert.ok(new X509Certificate(serials[0] ?? '').checkPrivateKey(found));
      const wrong = ['pkcs12', '-in', path, '-nodes', '-passin', 'pass:other1'];
      assert.notEqual(spawnSync('openssl', wrong).status, 0);
    });

    for (const [type, build] of [
      ['PKCS12', buildPkcs12],
      ['JKS', buildJks],
    ] as const) {
      test(`is read by keytool as ${type}, and its key is that of the certificate`, (t) => {
        if (!hasKeytool()) return t.skip('no keytool (run .ci/foreign-tools)');
        const path = put(`${key.type}.${type}`, build(content));
        const listed = keytool(type, path, ['-list', '-v']);
        assert.match(listed, /Alias name: kafka/);
        assert.match(listed, /PrivateKeyEntry/);
        assert.match(listed, new RegExp(`Certificate chain length: ${leaf.chain.length}`));
        assert.ok(
          listed.replaceAll(':', '').toLowerCase().includes(fingerprintOf(leaf.certificate)),
        );
        const out = join(directory, `${key.type}-of-${type}.p12`);
        const target = [
          '-destkeystore',
          out,
          '-deststoretype',
          'PKCS12',
          '-deststorepass',
          password,
        ];
        run('keytool', [
          '-importkeystore',
          '-srckeystore',
          path,
          '-srcstoretype',
          type,
          '-srcstorepass',
          password,
          '-noprompt',
          ...target,
        ]);
        const read = run('openssl', [
          'pkcs12',
          '-in',
          out,
          '-nodes',
          '-passin',
          `pass:${password}`,
        ]);
        assert.ok(new X509Certificate(leaf.certificatePem).checkPrivateKey(createPrivateKey(read)));
      });
    }
  });
}

describe('a trust store', () => {
  for (const [type, build] of [
    ['PKCS12', buildPkcs12],
    ['JKS', buildJks],
  ] as const) {
    test(`is one for keytool as ${type}`, (t) => {
      if (!hasKeytool()) return t.skip('no keytool (run .ci/foreign-tools)');
      const path = put(`trust.${type}`, build({ ...common, trusted: [ca.root] }));
      const listed = keytool(type, path, ['-list', '-v']);
      assert.match(listed, /Alias name: ca/);
      assert.match(listed, /trustedCertEntry/);
    });
  }
});

function keytool(type: string, path: string, words: readonly string[]): string {
  const store = ['-keystore', path, '-storetype', type, '-storepass', password];
  return run('keytool', [...words, ...store]);
}

function hasKeytool(): boolean {
  return spawnSync('keytool', ['-help']).error === undefined;
}

test('a store that Java could not open is not made', () => {
  for (const password of ['short', 'changeit-ü']) {
    assert.throws(() => buildPkcs12({ ...common, password, trusted: [ca.root] }), RangeError);
    assert.throws(() => buildJks({ ...common, password, trusted: [ca.root] }), RangeError);
  }
});

function put(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

function run(command: string, args: readonly string[]): string {
  const ran = spawnSync(command, [...args], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(ran.status, 0, `${ran.stderr}${ran.stdout}`);
  return ran.stdout;
}
