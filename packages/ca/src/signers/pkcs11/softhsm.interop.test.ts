import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { after, test } from 'node:test';
import { fromHex, noLog, Secret, systemClock } from '@countersign/base';
import { makeSoftToken, softModule } from '../../../test/soft-token.ts';
import { isKeyReference } from '../key-reference.ts';
import { signerSuite } from '../signer.suite.ts';
import { readUlong, ulong } from './call-memory.ts';
import { type Cryptoki, loadCryptoki } from './cryptoki.ts';
import { cka, cko } from './cryptoki-constants.ts';
import { pkcs11Store } from './pkcs11-store.ts';

const module = softModule();
const skip = 'missing' in module && module.missing;
const token = 'path' in module ? makeSoftToken(module.path, 'suite') : undefined;
after(() => token?.remove());

const openStore = () =>
  pkcs11Store({
    module: token?.module ?? '',
    label: 'suite',
    pin: async () => new Secret(token?.pin ?? ''),
    labelPrefix: 'example.com',
    clock: systemClock,
    log: noLog,
  });

signerSuite(
  'keys in a token of SoftHSM2',
  {
    open: async () => openStore(),
    kinds: [
      { type: 'EC', curve: 'P-256' },
      { type: 'EC', curve: 'P-384' },
      { type: 'EC', curve: 'P-521' },
      { type: 'RSA', bits: 2048 },
      { type: 'RSA', bits: 3072 },
      { type: 'RSA', bits: 4096 },
      { type: 'Ed25519' },
    ],
    refused: { type: 'ML-DSA', set: 65 },
    signsPss: true,
    secrets: [token?.pin ?? 'none'],
  },
  { skip },
);

const data = Uint8Array.of(1, 2, 3);
const p256 = { type: 'EC', curve: 'P-256' } as const;

test('the token itself tells nobody its private key', { skip }, async () => {
  const store = openStore();
  const description = await store.generate(p256, 'root');
  await (await store.open(description)).sign(data);
  const cryptoki = await loadCryptoki(token?.module ?? '');
  const session = await openSession(cryptoki);
  const id = isKeyReference(description) ? (description.place.id ?? '') : '';
  const key = await findPrivateKey(cryptoki, session, id);
  // CKR_ATTRIBUTE_SENSITIVE
  assert.equal(await askAttribute(cryptoki, session, key, cka.value), 0x11);
  await store.close();
});

test('sessions that others end are opened anew while twenty sign', { skip }, async () => {
  const store = openStore();
  const signer = await store.open(await store.generate(p256, 'root'));
  const cryptoki = await loadCryptoki(token?.module ?? '');
  const slot = await firstSlot(cryptoki);
  const signing = Array.from({ length: 20 }, async () => signer.sign(data));
  assert.equal(await cryptoki.invoke('C_CloseAllSessions', [slot]), 0);
  await Promise.all(signing);
  await store.close();
});

test('a token whose directory goes away is lost, and signs again when it is back', {
  skip,
}, async () => {
  const store = openStore();
  const signer = await store.open(await store.generate(p256, 'root'));
  await signer.sign(data);
  const tokens = token?.tokens ?? '';
  renameSync(tokens, `${tokens}.away`);
  await assert.rejects(async () => signer.sign(data), { code: 'ERR_SIGNER_TOKEN_LOST' });
  const finding = await store.health();
  assert.ok(!finding.ok && finding.code === 'ERR_SIGNER_TOKEN_LOST');
  renameSync(`${tokens}.away`, tokens);
  await systemClock.sleep(1100);
  await signer.sign(data);
  assert.equal((await store.health()).ok, true);
  await store.close();
});

test('a wrong PIN is refused by the token, and named as that', { skip }, async () => {
  const store = pkcs11Store({
    module: token?.module ?? '',
    label: 'suite',
    pin: async () => new Secret('not the pin'),
    clock: systemClock,
    log: noLog,
  });
  await assert.rejects(store.generate(p256, 'root'), {
    code: 'ERR_SIGNER_TOKEN_PIN',
    message:
      'make a key ECDSA P-256 for "root" in token "suite": C_Login answers CKR_PIN_INCORRECT',
  });
  await store.close();
});

async function firstSlot(cryptoki: Cryptoki): Promise<bigint> {
  const memory = cryptoki.memory();
  const list = memory.room(80);
  assert.equal(
    await cryptoki.invoke('C_GetSlotList', [1n, list.pointer, memory.number(10).pointer]),
    0,
  );
  return readUlong(list.view, 0);
}

async function openSession(cryptoki: Cryptoki): Promise<bigint> {
  const session = cryptoki.memory().number();
  const slot = await firstSlot(cryptoki);
  assert.equal(await cryptoki.invoke('C_OpenSession', [slot, 4n, 0n, 0n, session.pointer]), 0);
  return session.read();
}

async function findPrivateKey(cryptoki: Cryptoki, session: bigint, id: string): Promise<bigint> {
  const memory = cryptoki.memory();
  const template = memory.template([
    { type: cka.class, value: ulong(cko.privateKey) },
    { type: cka.id, value: fromHex(id) ?? new Uint8Array() },
  ]);
  const args = [session, template.pointer, template.count];
  assert.equal(await cryptoki.invoke('C_FindObjectsInit', args), 0);
  const list = memory.room(8);
  const count = memory.number();
  assert.equal(
    await cryptoki.invoke('C_FindObjects', [session, list.pointer, 1n, count.pointer]),
    0,
  );
  assert.equal(count.read(), 1n);
  await cryptoki.invoke('C_FindObjectsFinal', [session]);
  return readUlong(list.view, 0);
}

async function askAttribute(
  cryptoki: Cryptoki,
  session: bigint,
  key: bigint,
  type: bigint,
): Promise<number> {
  const template = cryptoki.memory().template([{ type, value: new Uint8Array(512) }]);
  return cryptoki.invoke('C_GetAttributeValue', [session, key, template.pointer, template.count]);
}
