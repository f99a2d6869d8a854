import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { type CountersignError, type Log, noLog, Secret, systemClock } from '@countersign/base';
import { FakeCryptoki } from '../../../test/fake-cryptoki.ts';
import type { KeyStore } from '../key-store.ts';
import { signerSuite } from '../signer.suite.ts';
import { ckFalse, ckTrue } from './call-memory.ts';
import { cka, ckf } from './cryptoki-constants.ts';
import { type Pkcs11StoreOptions, pkcs11Store } from './pkcs11-store.ts';

let modules = 0;
const data = Uint8Array.of(1, 2, 3);
const p256 = { type: 'EC', curve: 'P-256' } as const;

function makeFake(options: Partial<Pkcs11StoreOptions> = {}): {
  fake: FakeCryptoki;
  store: KeyStore;
} {
  modules += 1;
  const fake = new FakeCryptoki(`/fake/${modules}.so`);
  return { fake, store: storeOver(fake, options) };
}

function storeOver(fake: FakeCryptoki, options: Partial<Pkcs11StoreOptions> = {}): KeyStore {
  return pkcs11Store({
    module: fake.path,
    label: 'fake',
    pin: async () => new Secret('1234'),
    load: fake.load,
    clock: systemClock,
    log: noLog,
    ...options,
  });
}

const shared = makeFake();
signerSuite('keys in a token that exists in memory alone', {
  open: async () => storeOver(shared.fake),
  kinds: [p256, { type: 'RSA', bits: 2048 }],
  refused: { type: 'Ed25519' },
  signsPss: false,
  secrets: ['1234'],
});

test('sessions that others ended are opened anew, and nobody notices', async () => {
  const { fake, store } = makeFake();
  const signer = await store.open(await store.generate(p256, 'root'));
  await signer.sign(data);
  await fake.invoke('C_CloseAllSessions', [7n]);
  const signatures = await Promise.all(Array.from({ length: 12 }, () => signer.sign(data)));
  assert.equal(signatures.length, 12);
  assert.equal(fake.count('C_Login'), 2);
  await store.close();
  assert.equal(fake.sessions.size, 0);
});

test('a token that is pulled is a clear error and a finding, and works again when it is back', async () => {
  const told: string[] = [];
  const log: Log = { ...noLog, info: (_, message) => told.push(message) };
  let skipped = 0;
  const clock = { ...systemClock, monotonic: () => performance.now() + skipped };
  const { fake, store } = makeFake({ log, clock });
  const signer = await store.open(await store.generate(p256, 'root'));
  fake.isPresent = false;
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER_TOKEN_LOST',
    message:
      'sign with key "root" in token "fake": it is away: find token "fake" in "/fake/' +
      `${modules}.so": it has none`,
  });
  const finding = await store.health();
  assert.ok(!finding.ok && finding.code === 'ERR_SIGNER_TOKEN_LOST', inspect(finding));
  // not asked again at once
  const before = fake.calls.length;
  await assert.rejects(async () => signer.sign(data), { code: 'ERR_SIGNER_TOKEN_LOST' });
  assert.equal(fake.calls.length, before);

  fake.isPresent = true;
  skipped += 1000;
  await signer.sign(data);
  assert.equal((await store.health()).ok, true);
  assert.deepEqual(told, ['connected to the token again']);
  await store.close();
});

test('a token that takes away its handles in mid-flight loses the operation, not the store', async () => {
  const { fake, store } = makeFake();
  const signer = await store.open(await store.generate(p256, 'root'));
  fake.faults.before = (name) => (name === 'C_Sign' ? 0x32 : undefined);
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER_TOKEN_LOST',
    message: 'sign with key "root" in token "fake": C_Sign answers CKR_DEVICE_REMOVED',
  });
  fake.faults.before = undefined;
  await signer.sign(data);
  await store.close();
});

test('a wrong PIN is told to the token once, until it is another one', async () => {
  let pin = 'wrong';
  let skipped = 0;
  const clock = { ...systemClock, monotonic: () => performance.now() + skipped };
  const { fake, store } = makeFake({ pin: async () => new Secret(pin), clock });
  for (let i = 0; i < 3; i += 1) {
    await assert.rejects(store.generate(p256, 'root'), (thrown: CountersignError) => {
      assert.equal(thrown.code, 'ERR_SIGNER_TOKEN_PIN');
      assert.ok(!inspect(thrown).includes(pin));
      return true;
    });
    skipped += 1000;
  }
  assert.equal(fake.count('C_Login'), 1);
  pin = '1234';
  await store.generate(p256, 'root');
  await store.close();
});

test('the last try of a PIN is not spent', async () => {
  const { fake, store } = makeFake();
  fake.tokenFlags = ckf.userPinFinalTry;
  await assert.rejects(store.generate(p256, 'root'), {
    code: 'ERR_SIGNER_TOKEN_PIN',
    message: /one try of the PIN is left/,
  });
  assert.equal(fake.count('C_Login'), 0);
  await store.close();
});

test('a token that does not answer in time is given up, and used again when it has answered', async () => {
  const { fake, store } = makeFake({ timeoutMs: 80 });
  const signer = await store.open(await store.generate(p256, 'root'));
  let answer: (value: number) => void = () => {};
  const late = new Promise<number>((resolve) => {
    answer = resolve;
  });
  fake.faults.before = (name) => (name === 'C_Sign' ? late : undefined);
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER_TOKEN_TIMEOUT',
    message: 'sign with key "root" in token "fake": C_Sign has not returned within 80 ms',
  });
  // no more calls pile up behind it
  await assert.rejects(async () => signer.sign(data), { code: 'ERR_SIGNER_TOKEN_TIMEOUT' });
  assert.equal(fake.count('C_Sign'), 1);
  fake.faults.before = undefined;
  answer(0x6);
  await systemClock.sleep(20);
  await recovers(async () => signer.sign(data));
  await store.close();
});

test('a signature that the public key does not verify is not given out', async () => {
  const { fake, store } = makeFake();
  const signer = await store.open(await store.generate(p256, 'root'));
  fake.faults.damage = (signature) => signature.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
  await assert.rejects(async () => signer.sign(data), {
    code: 'ERR_SIGNER',
    message: /does not verify/,
  });
  await store.close();
});

const lies = [
  { type: cka.extractable, value: ckTrue, wrong: 'can be extracted' },
  { type: cka.sensitive, value: ckFalse, wrong: 'is not sensitive' },
  { type: cka.local, value: ckFalse, wrong: 'was not made in the token' },
];
for (const { type, value, wrong } of lies) {
  test(`a key that ${wrong} whatever was asked for is removed again`, async () => {
    const { fake, store } = makeFake();
    fake.faults.attributes = [{ type, value }];
    await assert.rejects(store.generate(p256, 'root'), {
      code: 'ERR_SIGNER_KEY',
      message: new RegExp(wrong),
    });
    assert.equal(fake.objects.size, 0);
    await store.close();
  });
}

test('an init that fails takes back what it made, and nothing else', async () => {
  const { fake, store } = makeFake();
  const kept = await store.generate(p256, 'root');
  const other = storeOver(fake);
  const taken = await other.generate(p256, 'issuing');
  await other.discard(kept);
  await other.discard(taken);
  assert.equal(fake.objects.size, 2);
  await store.open(kept);
  await assert.rejects(store.open(taken), { code: 'ERR_SIGNER_KEY', message: /no private key/ });
  await other.close();
  await store.close();
});

test('a token that allows few sessions is used in turns', async () => {
  const { fake, store } = makeFake();
  fake.maxSessions = 2n;
  const signer = await store.open(await store.generate(p256, 'root'));
  await Promise.all(Array.from({ length: 10 }, () => signer.sign(data)));
  assert.equal(fake.sessions.size, 1);
  await store.close();
});

test('a module that cannot lock gets one call at a time', async () => {
  const { fake, store } = makeFake();
  let running = 0;
  let most = 0;
  fake.faults.before = (name, [argument]) => {
    if (name === 'C_Initialize' && argument !== 0n) return 0xa;
    running += 1;
    most = Math.max(most, running);
    setImmediate(() => {
      running -= 1;
    });
    return undefined;
  };
  const signer = await store.open(await store.generate(p256, 'root'));
  await Promise.all(Array.from({ length: 10 }, () => signer.sign(data)));
  assert.equal(most, 1);
  await store.close();
});

test('a token of another label is told apart, with the labels that are there', async () => {
  const { fake, store } = makeFake({ label: 'issuing' });
  await assert.rejects(store.generate(p256, 'root'), {
    code: 'ERR_SIGNER_TOKEN_MISSING',
    message: `find token "issuing" in "${fake.path}": it has "fake"`,
  });
  await store.close();
});

test('a module that is not there is named', async () => {
  const store = pkcs11Store({
    module: '/no/such/module.so',
    label: 'fake',
    pin: async () => new Secret('1234'),
    clock: systemClock,
    log: noLog,
  });
  await assert.rejects(store.generate(p256, 'root'), {
    code: 'ERR_SIGNER_MODULE',
    message: /load PKCS #11 module "\/no\/such\/module.so"/,
  });
  await store.close();
});

/** Within the pause that a token is given. */
async function recovers(work: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < 30; i += 1) {
    const failed = await work().then(
      () => false,
      () => true,
    );
    if (!failed) return;
    await systemClock.sleep(50);
  }
  assert.fail('it does not work again');
}

test('a store that is closed while it makes a key lets the token finish', async () => {
  const { fake, store } = makeFake();
  let answer: () => void = () => {};
  const slow = new Promise<undefined>((resolve) => {
    answer = () => resolve(undefined);
  });
  await (await store.open(await store.generate(p256, 'root'))).sign(data);
  fake.faults.before = (name) => (name === 'C_GenerateKeyPair' ? (slow as never) : undefined);
  const making = store.generate(p256, 'issuing').catch((thrown: CountersignError) => thrown.code);
  await systemClock.sleep(10);
  const closing = store.close();
  await systemClock.sleep(10);
  assert.ok(!fake.calls.includes('C_Finalize'));
  answer();
  await closing;
  assert.equal(fake.calls.at(-1), 'C_Finalize');
  assert.equal(await making, 'ERR_SIGNER_TOKEN_LOST');
});
