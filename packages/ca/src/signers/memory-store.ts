import { randomBytes } from 'node:crypto';
import { CountersignError, toHex } from '@countersign/base';
import { generateKeyPair, type KeyPair, keySigner, spkiOf } from '@countersign/x509';
import { makeKeyReference, readKeyReference } from './key-reference.ts';
import type { KeyStore } from './key-store.ts';

/**
 * Keys that live as long as the process: for authorities that leave nothing behind. `made` is told of each with its name,
 * for tests that hand them out.
 */
export function memoryStore(made?: (name: string, pair: KeyPair) => void): KeyStore {
  const pairs = new Map<string, KeyPair>();
  return {
    title: 'memory',
    async generate(kind, name) {
      const pair = await generateKeyPair(kind);
      const id = toHex(randomBytes(8));
      pairs.set(id, pair);
      made?.(name, pair);
      return makeKeyReference('memory', name, spkiOf(pair.publicKey).raw, { id });
    },
    async open(description, algorithm) {
      const { place } = readKeyReference(description, 'memory', ['id']);
      const pair = pairs.get(place.id);
      if (pair !== undefined) return keySigner(pair.privateKey, algorithm);
      const message = `open the key "${description.name}": it was in the memory of another process`;
      throw new CountersignError('ERR_SIGNER_KEY', message, { fields: { key: description.name } });
    },
    async discard(description) {
      pairs.delete(readKeyReference(description, 'memory', ['id']).place.id);
    },
    health: async () => ({ ok: true, detail: `${pairs.size} keys in memory` }),
    close: async () => pairs.clear(),
  };
}
