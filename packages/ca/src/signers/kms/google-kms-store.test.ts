import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { googleKms } from '../../../test/google-kms-double.ts';
import { startKmsDouble } from '../../../test/kms-double.ts';
import { isKeyReference } from '../key-reference.ts';
import { signerSuite } from '../signer.suite.ts';
import { type GoogleKmsOptions, googleKmsStore } from './google-kms-store.ts';

const token = 'token-4711';
const double = await startKmsDouble(googleKms(token));
after(() => double.stop());
const keyRing = 'projects/p/locations/europe-west3/keyRings/ca';
const openStore = (options: Partial<GoogleKmsOptions> = {}) =>
  googleKmsStore({
    keyRing,
    endpoint: double.url,
    token: async () => token,
    clock: systemClock,
    ...options,
  });
const p256 = { type: 'EC', curve: 'P-256' } as const;
const data = Uint8Array.of(1, 2, 3);

signerSuite('keys in Google Cloud KMS (a double of its REST interface)', {
  open: async () => openStore(),
  kinds: [p256, { type: 'EC', curve: 'P-384' }, { type: 'RSA', bits: 2048 }, { type: 'Ed25519' }],
  refused: { type: 'EC', curve: 'P-521' },
  signsPss: false,
  secrets: [token],
});

test('a key that is taken back signs no more', async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  assert.ok(isKeyReference(description));
  assert.match(
    description.place.version ?? '',
    /\/cryptoKeys\/root-[0-9a-f]{8}\/cryptoKeyVersions\/1$/,
  );
  const signer = await store.open(description);
  await store.discard(description);
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER_KMS_REFUSED',
    message: /^sign with key "root" in Google Cloud KMS .*: it answers 400: .*DESTROY_SCHEDULED$/,
  });
});

test('a busy service is asked again, and then named as unreachable', async () => {
  const store = openStore();
  const signer = await store.open(await store.generate(p256, 'root'));
  const busy = { status: 503, body: { error: { message: 'try later' } } };
  double.instead.push(busy, busy);
  await signer.sign(data);
  double.instead.push(busy, busy, busy);
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER_KMS_UNREACHABLE',
    message: /it answers 503: try later$/,
  });
  double.instead.push(busy, busy, busy);
  const health = await store.health();
  assert.ok(!health.ok && health.code === 'ERR_SIGNER_KMS_UNREACHABLE');
});

test('a wrong token is refused, and not shown', async () => {
  const store = openStore({ token: async () => 'stolen-0815' });
  await assert.rejects(store.generate(p256, 'root'), (thrown: Error & { code: string }) => {
    assert.equal(thrown.code, 'ERR_SIGNER_KMS_REFUSED');
    assert.doesNotMatch(thrown.message, /stolen/);
    return true;
  });
});

test('a service that does not answer is given up in time', async () => {
  const never = () => new Promise<string>(() => {});
  const store = openStore({ token: never, timeoutMs: 50 });
  await assert.rejects(store.generate(p256, 'root'), {
    code: 'ERR_SIGNER_KMS_UNREACHABLE',
    message: /no answer within 50 ms$/,
  });
});

test('a public key that is not the one of the description is refused', async () => {
  const store = openStore();
  const one = await store.generate(p256, 'root');
  const other = await store.generate(p256, 'root');
  assert.ok(isKeyReference(one) && isKeyReference(other));
  await assert.rejects(store.open({ ...one, place: other.place }), {
    code: 'ERR_SIGNER_KEY',
    message: /its public key is "[0-9a-f]{64}", "[0-9a-f]{64}" is expected$/,
  });
});

test('without credentials of its own, the package that finds some is named', async () => {
  const store = openStore({ token: undefined });
  await assert.rejects(store.generate(p256, 'root'), {
    message: /the package "google-auth-library" is not installed$/,
  });
});
