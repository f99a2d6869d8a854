import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { azureKeyVault } from '../../../test/azure-key-vault-double.ts';
import { startKmsDouble } from '../../../test/kms-double.ts';
import { isKeyReference } from '../key-reference.ts';
import { signerSuite } from '../signer.suite.ts';
import { type AzureKeyVaultOptions, azureKeyVaultStore } from './azure-key-vault-store.ts';

const token = 'token-4711';
const double = await startKmsDouble(azureKeyVault(token, () => double.url));
after(() => double.stop());
const openStore = (options: Partial<AzureKeyVaultOptions> = {}) =>
  azureKeyVaultStore({
    vault: double.url,
    token: async () => token,
    clock: systemClock,
    ...options,
  });
const p256 = { type: 'EC', curve: 'P-256' } as const;

signerSuite('keys in Azure Key Vault (a double of its REST interface)', {
  open: async () => openStore(),
  kinds: [p256, { type: 'EC', curve: 'P-384' }, { type: 'RSA', bits: 2048 }],
  refused: { type: 'Ed25519' },
  signsPss: false,
  secrets: [token],
});

test('a token is asked for in the scope of the cloud that the vault is in', async () => {
  const scopes: string[] = [];
  const remember = async (scope: string): Promise<string> => {
    scopes.push(scope);
    throw new Error('no network in tests');
  };
  const vaults = [
    'https://ca.vault.azure.net',
    'https://ca.vault.azure.cn',
    'https://ca.managedhsm.azure.net/',
  ];
  for (const vault of vaults) {
    const store = openStore({ vault, token: remember });
    await assert.rejects(store.generate(p256, 'root'), {
      code: 'ERR_SIGNER_KMS_REFUSED',
      message: /no credentials: no network in tests$/,
    });
  }
  assert.deepEqual(scopes, [
    'https://vault.azure.net/.default',
    'https://vault.azure.cn/.default',
    'https://managedhsm.azure.net/.default',
  ]);
});

test('a key identifier in another vault is not followed', async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  assert.ok(isKeyReference(description));
  const key = 'https://elsewhere.example/keys/issuing/1';
  await assert.rejects(store.open({ ...description, place: { key } }), {
    code: 'ERR_SIGNER_KEY',
    message: /it is "https:\/\/elsewhere.example\/keys\/issuing\/1", ca.yaml says http:\/\/127/,
  });
});

test('a key that is deleted is named as that, and a finding', async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  const signer = await store.open(description);
  await store.discard(description);
  await assert.rejects(async () => signer.sign(Uint8Array.of(1)), {
    code: 'ERR_SIGNER_KEY',
    message: /it answers 404: A key with name root-[0-9a-f]{8} was not found$/,
  });
  const health = await store.health();
  assert.ok(!health.ok && health.code === 'ERR_SIGNER_KEY');
});

test('keys are made in hardware unless software is asked for', async () => {
  double.calls.length = 0;
  await openStore().generate(p256, 'root');
  await openStore({ protection: 'software' }).generate(p256, 'root');
  const types = double.calls.map(({ body }) => (body as { kty: string }).kty);
  assert.deepEqual(types, ['EC-HSM', 'EC']);
});
