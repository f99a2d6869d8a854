import { randomBytes } from 'node:crypto';
import { CountersignError, fromHex, toHex } from '@countersign/base';
import { formatKeyKind, type KeyKind } from '@countersign/x509';
import { checkedSigner, signatureAlgorithmFor } from '../checked-signer.ts';
import { makeKeyReference, readKeyReference, readNewPublicKey } from '../key-reference.ts';
import type { KeyStore } from '../key-store.ts';
import { type Attribute, ckFalse, ckTrue, readUlong, ulong } from './call-memory.ts';
import { cka, ckf, cko } from './cryptoki-constants.ts';
import { type KeyPairRow, keyPairRowOf } from './key-pair-rows.ts';
import { Pkcs11Failure, type Pkcs11Module } from './pkcs11-module.ts';
import { Pkcs11Token, type Pkcs11TokenOptions, type TokenTools } from './pkcs11-token.ts';
import { type SignMechanism, signMechanismsOf } from './sign-mechanisms.ts';
import type { Session } from './token-connection.ts';
import { attributeOf, findObjects } from './token-objects.ts';

export interface Pkcs11StoreOptions extends Pkcs11TokenOptions {
  /** Before the names of keys in their CKA_LABEL, such as the trust domain: several authorities may share a token. */
  readonly labelPrefix?: string | undefined;
}

/**
 * Keys in a PKCS #11 token: made there, sensitive and not extractable, found again by a random CKA_ID.
 */
export function pkcs11Store(options: Pkcs11StoreOptions): KeyStore {
  const token = new Pkcs11Token(options);
  const { title } = token;
  const made = new Set<string>();
  return {
    title,
    async generate(kind, name) {
      const row = keyPairRowOf(kind, title);
      const id = randomBytes(16);
      const label = [options.labelPrefix, name].filter((part) => part !== undefined).join(' ');
      const { spki, serial } = await token.write(
        `make a key ${formatKeyKind(kind)} for "${name}"`,
        async (session, tools) => {
          await checkMechanism(tools, kind, row);
          const raw = await generatePair(session, tools.module, { row, id, label, title });
          return { spki: readNewPublicKey(raw, title).raw, serial: tools.token.serial };
        },
      );
      made.add(toHex(id));
      const place = { token: options.label, serial, label, id: toHex(id) };
      return makeKeyReference('pkcs11', name, spki, place);
    },
    async open(description, wished) {
      const { spki, place } = readKeyReference(description, 'pkcs11', ['id']);
      const algorithm = signatureAlgorithmFor(spki, wished);
      const { name } = description;
      const mechanism = await token.use(`open the key "${name}"`, async (session, tools) => {
        const key = await findPrivateKey(session, tools, { id: place.id, name, title });
        await checkPrivateKey(session, tools.module, key, { name, title });
        return chooseMechanism(tools, signMechanismsOf(algorithm), algorithm.name);
      });
      return checkedSigner({
        spki,
        algorithm,
        title,
        async sign(data) {
          const input = mechanism.prepare(data);
          const signature = await token.use(`sign with key "${name}"`, async (session, tools) => {
            const key = await findPrivateKey(session, tools, { id: place.id, name, title });
            return signOnce(session, tools.module, key, mechanism, input);
          });
          return mechanism.finish(signature);
        },
      });
    },
    async discard(description) {
      const { place } = readKeyReference(description, 'pkcs11', ['id']);
      if (!made.delete(place.id)) return;
      await token.write(`remove the key "${description.name}"`, (session, { module }) =>
        destroyPair(session, module, place.id),
      );
    },
    health: () => token.health(),
    close: () => token.close(),
  };
}

async function checkMechanism(tools: TokenTools, kind: KeyKind, row: KeyPairRow): Promise<void> {
  if (await canDo(tools, row.mechanism, ckf.generateKeyPair)) return;
  const message = `make a key ${formatKeyKind(kind)} in token "${tools.token.label}": the token does not make such keys`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

async function chooseMechanism(
  tools: TokenTools,
  ways: readonly SignMechanism[],
  algorithm: string,
): Promise<SignMechanism> {
  for (const way of ways) if (await canDo(tools, way.type, ckf.sign)) return way;
  const message = `sign ${algorithm} in token "${tools.token.label}": the token does not make such signatures`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

async function canDo({ module, token }: TokenTools, type: bigint, flag: bigint): Promise<boolean> {
  try {
    return await module.call('C_GetMechanismInfo', (memory) => {
      const { pointer, view } = memory.room(24);
      const read = () => (readUlong(view, 16) & flag) !== 0n;
      return { args: [token.slot, type, pointer], read };
    });
  } catch (thrown) {
    const isNo = thrown instanceof Pkcs11Failure && thrown.returned === 'CKR_MECHANISM_INVALID';
    if (isNo) return false;
    throw thrown;
  }
}

/** Makes a pair, proves that it is kept as it must be, and gives the public key; what is not is removed again. */
async function generatePair(
  session: Session,
  module: Pkcs11Module,
  wanted: {
    readonly row: KeyPairRow;
    readonly id: Uint8Array;
    readonly label: string;
    readonly title: string;
  },
): Promise<Uint8Array> {
  const { row, id } = wanted;
  const label = new TextEncoder().encode(wanted.label);
  const both: Attribute[] = [
    { type: cka.token, value: ckTrue },
    { type: cka.id, value: id },
    { type: cka.label, value: label },
  ];
  const publicTemplate = [...both, { type: cka.verify, value: ckTrue }, ...row.parameters];
  const privateTemplate = [
    ...both,
    { type: cka.private, value: ckTrue },
    { type: cka.sensitive, value: ckTrue },
    { type: cka.extractable, value: ckFalse },
    { type: cka.sign, value: ckTrue },
  ];
  const pair = await module.call('C_GenerateKeyPair', (memory) => {
    const ofPublic = memory.template(publicTemplate);
    const ofPrivate = memory.template(privateTemplate);
    const publicKey = memory.number();
    const privateKey = memory.number();
    const args = [
      session,
      memory.mechanism(row.mechanism),
      ofPublic.pointer,
      ofPublic.count,
      ofPrivate.pointer,
      ofPrivate.count,
      publicKey.pointer,
      privateKey.pointer,
    ];
    return { args, read: () => ({ public: publicKey.read(), private: privateKey.read() }) };
  });
  try {
    await checkPrivateKey(session, module, pair.private, { name: wanted.label, ...wanted });
    const values: Uint8Array[] = [];
    for (const type of row.read) {
      values.push(await attributeOf(session, module, pair.public, type));
    }
    return row.spki(values);
  } catch (thrown) {
    await destroyPair(session, module, toHex(id));
    throw thrown;
  }
}

/** Tokens may take a template and do otherwise: what counts is what the key says of itself. */
const requirements = [
  { type: cka.sensitive, value: 1, wrong: 'is not sensitive' },
  { type: cka.extractable, value: 0, wrong: 'can be extracted' },
  { type: cka.alwaysSensitive, value: 1, wrong: 'was not always sensitive' },
  { type: cka.neverExtractable, value: 1, wrong: 'could be extracted once' },
  { type: cka.local, value: 1, wrong: 'was not made in the token' },
] as const;

async function checkPrivateKey(
  session: Session,
  module: Pkcs11Module,
  key: bigint,
  { name, title }: { readonly name: string; readonly title: string },
): Promise<void> {
  for (const { type, value, wrong } of requirements) {
    const [found] = await attributeOf(session, module, key, type);
    if (found === value) continue;
    const message = `use the key "${name}" in ${title}: it ${wrong}`;
    throw new CountersignError('ERR_SIGNER_KEY', message, { fields: { key: name } });
  }
}

async function findPrivateKey(
  session: Session,
  { module, keys }: TokenTools,
  wanted: { readonly id: string; readonly name: string; readonly title: string },
): Promise<bigint> {
  const known = keys.get(wanted.id);
  if (known !== undefined) return known;
  const [key, second] = await findObjects(session, module, ofClassAndId(cko.privateKey, wanted.id));
  if (key !== undefined && second === undefined) {
    keys.set(wanted.id, key);
    return key;
  }
  const count = key === undefined ? 'no private key' : 'several private keys';
  const message = `open the key "${wanted.name}" in ${wanted.title}: it has ${count} with the id ${wanted.id}`;
  throw new CountersignError('ERR_SIGNER_KEY', message, { fields: { key: wanted.name } });
}

function ofClassAndId(ofClass: bigint, id: string): Attribute[] {
  return [
    { type: cka.class, value: ulong(ofClass) },
    { type: cka.id, value: fromHex(id) ?? new Uint8Array() },
  ];
}

async function destroyPair(session: Session, module: Pkcs11Module, id: string): Promise<void> {
  for (const ofClass of [cko.privateKey, cko.publicKey]) {
    for (const object of await findObjects(session, module, ofClassAndId(ofClass, id))) {
      const args = [session, object];
      await module.call('C_DestroyObject', () => ({ args, read: () => {} }));
    }
  }
}

/** RSA of 8192 bits has the largest of all. */
const largestSignature = 1024;

async function signOnce(
  session: Session,
  module: Pkcs11Module,
  key: bigint,
  mechanism: SignMechanism,
  input: Uint8Array,
): Promise<Uint8Array> {
  await module.call('C_SignInit', (memory) => {
    const { type, parameter } = mechanism;
    return { args: [session, memory.mechanism(type, parameter), key], read: () => {} };
  });
  return module.call('C_Sign', (memory) => {
    const { pointer } = memory.bytes(input);
    const signature = memory.room(largestSignature);
    const length = memory.number(largestSignature);
    const args = [session, pointer, BigInt(input.byteLength), signature.pointer, length.pointer];
    return { args, read: () => signature.view.slice(0, Number(length.read())) };
  });
}
