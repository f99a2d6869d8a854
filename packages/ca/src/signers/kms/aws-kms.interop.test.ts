import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { foreignPackage, motoMissing, startMoto } from '../../../test/foreign-packages.ts';
import { isKeyReference } from '../key-reference.ts';
import { signerSuite } from '../signer.suite.ts';
import { type AwsSdk, awsKmsStore } from './aws-kms-store.ts';

const sdk = await foreignPackage<AwsSdk>('@aws-sdk/client-kms');
const missing = typeof sdk === 'string' ? sdk : motoMissing();
const moto = missing === false ? await startMoto() : undefined;
after(() => moto?.stop());
const credential = 'credential-4711';
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: credential });

interface DescribingSdk {
  readonly KMSClient: new (options: {
    region: string;
    endpoint: string;
  }) => {
    send(command: object): Promise<{ KeyMetadata: { KeyState: string; Description: string } }>;
    destroy(): void;
  };
  readonly DescribeKeyCommand: new (input: { KeyId: string }) => object;
}

const openStore = (options: { endpoint?: string; timeoutMs?: number } = {}) =>
  awsKmsStore({
    region: 'eu-central-1',
    endpoint: moto?.url,
    labelPrefix: 'example.com',
    load: async () => sdk as AwsSdk,
    clock: systemClock,
    ...options,
  });
const p256 = { type: 'EC', curve: 'P-256' } as const;

signerSuite(
  'keys in AWS KMS (its SDK, and moto in the place of the service)',
  {
    open: async () => openStore(),
    kinds: [
      p256,
      { type: 'EC', curve: 'P-384' },
      { type: 'EC', curve: 'P-521' },
      { type: 'RSA', bits: 2048 },
      { type: 'RSA', bits: 3072 },
      { type: 'RSA', bits: 4096 },
    ],
    refused: { type: 'ML-DSA', set: 44 },
    // moto salts PSS as long as it can; AWS, as long as the hash
    signsPss: false,
    noLargeData: 'moto does not sign digests; aws-kms-store.test.ts does',
    secrets: [credential],
  },
  { skip: missing },
);

test('a key that is taken back is scheduled for deletion', { skip: missing }, async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  assert.ok(isKeyReference(description));
  assert.match(description.place.key ?? '', /^arn:aws:kms:eu-central-1:\d+:key\//);
  await store.discard(description);
  const kms = sdk as unknown as DescribingSdk;
  const client = new kms.KMSClient({ region: 'eu-central-1', endpoint: moto?.url ?? '' });
  const command = new kms.DescribeKeyCommand({ KeyId: description.place.key ?? '' });
  const { KeyMetadata } = await client.send(command);
  assert.equal(KeyMetadata.KeyState, 'PendingDeletion');
  assert.equal(KeyMetadata.Description, 'example.com root');
  client.destroy();
  await store.close();
});

test('a key that the service does not have is named as that', { skip: missing }, async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  assert.ok(isKeyReference(description));
  const key = `${description.place.key?.slice(0, -4)}0000`;
  await assert.rejects(store.open({ ...description, place: { key } }), {
    code: 'ERR_SIGNER_KEY',
    message: /^open the key "root" in AWS KMS in eu-central-1: NotFoundException: /,
  });
  await store.close();
});

test('a service that is away is named as that, and in time', { skip: missing }, async () => {
  const store = openStore({ endpoint: 'http://127.0.0.1:9', timeoutMs: 2000 });
  await assert.rejects(store.generate(p256, 'root'), { code: 'ERR_SIGNER_KMS_UNREACHABLE' });
  await store.close();
});
