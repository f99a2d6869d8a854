import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '@countersign/config';
import { parseCaConfig } from '../ca-config.ts';

function yaml(parts: { root?: string; block?: string; atTop?: string }): string {
  return `ca:
  root: { algorithm: RSA, keySize: 4096, ${parts.root ?? 'storage: HSM'} }
  intermediate:
    issuing: { algorithm: ECDSA, curve: P-256, storage: pkcs11 }
${parts.block ?? ''}
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
${parts.atTop ?? ''}
`;
}

const hsm = 'hsm: { module: /usr/lib/p11.so, token_label: ca, pin: "@/run/pin" }';

function failure(text: string): ConfigError {
  try {
    parseCaConfig(text, 'ca.yaml');
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown;
    throw thrown;
  }
  return assert.fail('it was read');
}

describe('where keys live, in ca.yaml', () => {
  const token = {
    type: 'pkcs11',
    module: '/usr/lib/p11.so',
    tokenLabel: 'ca',
    tokenSerial: undefined,
    pin: { from: 'file', path: '/run/pin' },
    sessions: undefined,
    timeoutMs: undefined,
  };

  it('is a token for "HSM" and "pkcs11" alike, configured under "ca" or at the top level', () => {
    for (const parts of [{ block: `  ${hsm}` }, { atTop: hsm }]) {
      const { root, intermediates, notices } = parseCaConfig(yaml(parts), 'ca.yaml');
      assert.deepEqual(root.storage, token);
      assert.deepEqual(intermediates[0]?.storage, token);
      assert.ok(!notices.some((notice) => notice.includes('hsm')));
    }
  });

  it('is another token for a certificate that has a block of its own', () => {
    const own = `storage: HSM, hsm: { module: /usr/lib/p11.so, token_label: root, pin_env: PIN }`;
    const { root, intermediates } = parseCaConfig(yaml({ root: own, atTop: hsm }), 'ca.yaml');
    const pin = { from: 'environment', variable: 'PIN' };
    assert.deepEqual(root.storage, { ...token, tokenLabel: 'root', pin });
    assert.deepEqual(intermediates[0]?.storage, token);
  });

  it('asks for the PIN on the terminal where the file says nothing of it', () => {
    const block = 'hsm: { module: /usr/lib/p11.so, token_label: ca, timeout: 3s, sessions: 2 }';
    const { root } = parseCaConfig(yaml({ atTop: block }), 'ca.yaml');
    assert.deepEqual(root.storage, {
      ...token,
      pin: { from: 'prompt' },
      timeoutMs: 3000,
      sessions: 2,
    });
  });

  it('is a key service of one of three providers', () => {
    const providers = [
      ['aws, region: eu-central-1', 'aws-kms'],
      ['google, key_ring: projects/p/locations/l/keyRings/r', 'google-kms'],
      ['azure, vault: "https://ca.vault.azure.net", protection: software', 'azure-key-vault'],
    ];
    for (const [written, type] of providers) {
      const block = `kms: { provider: ${written} }\n${hsm}`;
      const { root } = parseCaConfig(yaml({ root: 'storage: KMS', atTop: block }), 'ca.yaml');
      assert.equal(root.storage.type, type);
    }
  });

  it('says which block does nothing', () => {
    const block = `${hsm}\nkms: { provider: aws, region: eu-central-1 }\nseal: { passphrase_env: P }`;
    const { notices, seal } = parseCaConfig(yaml({ atTop: block }), 'ca.yaml');
    assert.deepEqual(seal, { from: 'environment', variable: 'P' });
    const said = notices.filter((notice) => notice.includes('does nothing'));
    assert.deepEqual(said, [
      '"kms" does nothing: storage: KMS does not name it',
      '"seal" does nothing: no key is in a file',
    ]);
  });

  const bad: readonly (readonly [string, Parameters<typeof yaml>[0], RegExp])[] = [
    [
      'an HSM that is not configured, with what to write',
      {},
      /^ca\.yaml:2:51: ca\.root\.storage: "HSM" is a PKCS #11 token, .*: hsm: \{ module: \/path.*pin: "@\/path\/to\/pin" \}/,
    ],
    [
      'a key service that is not configured',
      { root: 'storage: KMS', atTop: hsm },
      /"KMS" is a key management service, which "kms" must configure/,
    ],
    [
      'a storage that nobody knows',
      { root: 'storage: HMS', atTop: hsm },
      /storage: expected "file", "HSM", "pkcs11", "KMS", found "HMS", the nearest is "HSM"/,
    ],
    [
      'a PIN in the file itself, without repeating it',
      { atTop: 'hsm: { module: /usr/lib/p11.so, token_label: ca, pin: "4711" }' },
      /hsm\.pin: expected "@" and the absolute path of a file that holds it, found something else; or write pin_env/,
    ],
    [
      'a PIN file by a relative path',
      { atTop: 'hsm: { module: /usr/lib/p11.so, token_label: ca, pin: "@pin.txt" }' },
      /found the relative path "pin\.txt"/,
    ],
    [
      'two places of a PIN',
      { atTop: 'hsm: { module: /usr/lib/p11.so, token_label: ca, pin: "@/a", pin_env: B }' },
      /hsm: "pin", "pin_env" and "pin_prompt" exclude each other/,
    ],
    [
      'a module by a relative path',
      { atTop: 'hsm: { module: p11.so, token_label: ca }' },
      /hsm\.module: expected an absolute path of a PKCS #11 module, found "p11\.so"/,
    ],
    [
      'a misspelt key',
      { atTop: 'hsm: { modul: /usr/lib/p11.so, token_label: ca }' },
      /unknown key "modul" in hsm, the nearest valid key is "module"/,
    ],
    [
      'a provider without what it needs',
      { root: 'storage: KMS', atTop: `kms: { provider: google, region: x }\n${hsm}` },
      /kms: provider "google" needs "key_ring"/,
    ],
    [
      'an endpoint without TLS',
      {
        root: 'storage: KMS',
        atTop: `kms: { provider: aws, region: r, endpoint: "http://kms.example.com" }\n${hsm}`,
      },
      /kms\.endpoint: expected an https URL, found "http:\/\/kms\.example\.com"/,
    ],
  ];
  for (const [what, parts, message] of bad) {
    it(`refuses ${what}`, () => {
      const error = failure(yaml(parts));
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /4711/);
      const places = error.issues.map(({ path, message: said }) => `${path} ${said}`);
      assert.equal(new Set(places).size, places.length);
      assert.equal(error.exit, 2);
    });
  }
});
