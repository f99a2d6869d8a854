import { createPrivateKey, hash } from 'node:crypto';
import { CountersignError, Secret } from '@countersign/base';
import { generateKeyPair, keySigner, spkiOf } from '@countersign/x509';
import type { SealedKey, Sealer } from '../sealed-key.ts';
import { isKeyReference } from './key-reference.ts';
import type { KeyDescription, KeyStore } from './key-store.ts';

/**
 * Keys in files of the data directory, sealed with what opens them (`sealed-key.ts`): the description is the key. In
 * memory they are `KeyObject`s, which cannot be printed; their PKCS #8 exists only between generation and sealing.
 */
export function sealedFileStore(sealer: Sealer): KeyStore {
  return {
    title: 'sealed files',
    async generate(kind, name) {
      const { privateKey, publicKey } = await generateKeyPair(kind);
      const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
      const sealed = await sealer.seal(
        name,
        hash('sha256', spkiOf(publicKey).raw),
        new Secret(new Uint8Array(pkcs8)),
      );
      pkcs8.fill(0);
      return sealed;
    },
    async open(description, algorithm) {
      const sealed = sealedKeyOf(description);
      const pkcs8 = (await sealer.unseal(sealed)).reveal();
      const key = createPrivateKey({
        key: Buffer.from(pkcs8.buffer),
        format: 'der',
        type: 'pkcs8',
      });
      pkcs8.fill(0);
      checkHash(sealed, hash('sha256', spkiOf(key).raw));
      return keySigner(key, algorithm);
    },
    // The file is the caller's: nothing of the key is left elsewhere.
    discard: async () => {},
    health: async () => ({ ok: true, detail: 'keys are opened and in memory' }),
    close: async () => {},
  };
}

function sealedKeyOf(description: KeyDescription): SealedKey {
  if (!isKeyReference(description)) return description;
  const { name, store } = description;
  throw new CountersignError(
    'ERR_SIGNER_KEY',
    `open the key "${name}": it is in a ${store}, ca.yaml says file`,
    { fields: { key: name, found: store, configured: 'file' } },
  );
}

function checkHash(sealed: SealedKey, found: string): void {
  if (found === sealed.publicKey) return;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    `sealed key "${sealed.name}" says that its public key is "${sealed.publicKey}", it holds "${found}"`,
    { fields: { name: sealed.name, keyHash: found, expected: sealed.publicKey } },
  );
}
