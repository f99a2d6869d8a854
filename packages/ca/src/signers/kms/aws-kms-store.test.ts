import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { type FakeAws, fakeAws } from '../../../test/fake-aws-sdk.ts';
import { signerSuite } from '../signer.suite.ts';
import { type AwsKmsOptions, awsKmsStore } from './aws-kms-store.ts';

const openStore = ({ sdk }: FakeAws, options: Partial<AwsKmsOptions> = {}) =>
  awsKmsStore({ region: 'eu-central-1', load: async () => sdk, clock: systemClock, ...options });
const rsa = { type: 'RSA', bits: 2048 } as const;
const data = Uint8Array.of(1, 2, 3);

const shared = fakeAws();
signerSuite("keys in AWS KMS (its SDK's surface in memory)", {
  open: async () => openStore(shared),
  kinds: [rsa, { type: 'EC', curve: 'P-256' }],
  refused: { type: 'ML-DSA', set: 44 },
  signsPss: true,
  secrets: [],
});

test('data that fits into a call is hashed by the service, larger data here', async () => {
  const aws = fakeAws();
  const store = openStore(aws, { labelPrefix: 'example.com' });
  const signer = await store.open(await store.generate(rsa, 'root'));
  await signer.sign(data);
  await signer.sign(new Uint8Array(5000));
  const [create, ...rest] = aws.sent;
  const expected = {
    KeySpec: 'RSA_2048',
    KeyUsage: 'SIGN_VERIFY',
    Description: 'example.com root',
  };
  assert.deepEqual(create, ['CreateKeyCommand', expected]);
  const signed = rest.filter(([name]) => name === 'SignCommand').map(([, input]) => input);
  assert.deepEqual(
    signed.map((input) => [input.MessageType, (input.Message as Uint8Array).byteLength]),
    [
      ['RAW', 3],
      ['DIGEST', 32],
    ],
  );
  assert.equal(signed[0]?.SigningAlgorithm, 'RSASSA_PKCS1_V1_5_SHA_256');
});

const failures = [
  { name: 'AccessDeniedException', httpStatusCode: 400, code: 'ERR_SIGNER_KMS_REFUSED' },
  { name: 'DisabledException', httpStatusCode: 409, code: 'ERR_SIGNER_KEY' },
  { name: 'ThrottlingException', httpStatusCode: 400, code: 'ERR_SIGNER_KMS_UNREACHABLE' },
  { name: 'KMSInternalException', httpStatusCode: 500, code: 'ERR_SIGNER_KMS_UNREACHABLE' },
  { name: 'CredentialsProviderError', httpStatusCode: undefined, code: 'ERR_SIGNER_KMS_REFUSED' },
];
for (const { name, httpStatusCode, code } of failures) {
  test(`${name} of the service is ${code}, and a finding`, async () => {
    const aws = fakeAws();
    const store = openStore(aws);
    const signer = await store.open(await store.generate(rsa, 'root'));
    const failure = Object.assign(new Error('the reason'), { name, $metadata: { httpStatusCode } });
    aws.fail = failure;
    await assert.rejects(async () => signer.sign(data), {
      code,
      message: `sign with key "root" in AWS KMS in eu-central-1: ${name}: the reason`,
    });
    aws.fail = failure;
    const health = await store.health();
    assert.ok(!health.ok && health.code === code);
    await signer.sign(data);
  });
}

test('without the SDK, the command that installs it is named', async () => {
  const store = awsKmsStore({ region: 'eu-central-1', clock: systemClock });
  await assert.rejects(store.generate(rsa, 'root'), {
    code: 'ERR_SIGNER_KMS_SDK',
    message: 'use AWS KMS in eu-central-1: the package "@aws-sdk/client-kms" is not installed',
    hint: 'npm install @aws-sdk/client-kms',
  });
});

test('an endpoint without TLS is refused unless it is of this machine', async () => {
  const store = openStore(fakeAws(), { endpoint: 'http://kms.example.com' });
  await assert.rejects(store.generate(rsa, 'root'), {
    code: 'ERR_CONFIG_VALUE',
    message: 'kms.endpoint: expected an https URL, found "http://kms.example.com"',
  });
});
