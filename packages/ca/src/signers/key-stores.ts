import type { Clock, Log } from '@countersign/base';
import type { KeyKind, Signer } from '@countersign/x509';
import type { Sealer } from '../sealed-key.ts';
import type { KeyDescription, KeyStore } from './key-store.ts';
import { memoryStore } from './memory-store.ts';
import { sealedFileStore } from './sealed-file-store.ts';
import { type SecretPlaces, secretReader } from './secret-source.ts';
import type { StorageConfig } from './storage-config.ts';

export interface KeyStoresOptions {
  readonly trustDomain: string;
  /** Opens sealed files; undefined where none is sealed. */
  readonly sealer: Sealer | undefined;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The stores of one authority, each opened once however many keys it holds, and what was generated in them: an init
 * that fails takes that back.
 */
export class KeyStores {
  readonly #open: (storage: StorageConfig) => Promise<KeyStore>;
  readonly #stores = new Map<string, Promise<KeyStore>>();
  readonly #made: { readonly store: KeyStore; readonly description: KeyDescription }[] = [];
  /** Those that can go away while the authority runs. */
  readonly #remote = new Set<KeyStore>();
  readonly #onFailure = new Set<(store: KeyStore) => void>();

  constructor(open: (storage: StorageConfig) => Promise<KeyStore>) {
    this.#open = open;
  }

  of(storage: StorageConfig): Promise<KeyStore> {
    const id = JSON.stringify(storage);
    const store = this.#stores.get(id) ?? this.#openOnce(storage);
    this.#stores.set(id, store);
    return store;
  }

  async #openOnce(storage: StorageConfig): Promise<KeyStore> {
    const store = await this.#open(storage);
    if (storage.type !== 'file') this.#remote.add(store);
    return store;
  }

  async generate(storage: StorageConfig, kind: KeyKind, name: string): Promise<KeyDescription> {
    const store = await this.of(storage);
    const description = await store.generate(kind, name);
    this.#made.push({ store, description });
    return description;
  }

  /** The signer of a key; should it fail, whoever listens hears of it at once. */
  async open(storage: StorageConfig, description: KeyDescription): Promise<Signer> {
    const store = await this.of(storage);
    const signer = await store.open(description);
    if (!this.#remote.has(store)) return signer;
    const sign = async (data: Uint8Array): Promise<Uint8Array> => {
      try {
        return await signer.sign(data);
      } catch (thrown) {
        for (const listener of this.#onFailure) listener(store);
        throw thrown;
      }
    };
    return { spki: signer.spki, algorithm: signer.algorithm, sign };
  }

  onFailure(listener: (store: KeyStore) => void): void {
    this.#onFailure.add(listener);
  }

  get remote(): readonly KeyStore[] {
    return [...this.#remote];
  }

  /** Takes back what was generated, as far as the stores answer. */
  async discardMade(log: Log): Promise<void> {
    for (const { store, description } of this.#made.splice(0)) {
      await store.discard(description).catch((thrown: unknown) => {
        const key = { key: description.name, store: store.title, reason: String(thrown) };
        log.error(key, 'key of a failed init is left behind, remove it by hand');
      });
    }
  }

  async close(): Promise<void> {
    for (const opening of this.#stores.values()) {
      // One that could not even be made was told to whoever asked for it.
      const store = await opening.catch(() => undefined);
      await store?.close();
    }
  }
}

export function openKeyStores(options: KeyStoresOptions): KeyStores {
  return new KeyStores(async (storage) => makers[storage.type](storage as never, options));
}

/** For authorities that leave nothing behind: every key in memory, whatever the configuration says. */
export function memoryKeyStores(made?: Parameters<typeof memoryStore>[0]): KeyStores {
  const store = memoryStore(made);
  return new KeyStores(async () => store);
}

type Of<T extends StorageConfig['type']> = Extract<StorageConfig, { type: T }>;

/** What speaks with a token or a key service is loaded where a key is in one. */
const makers: {
  [T in StorageConfig['type']]: (
    storage: Of<T>,
    options: KeyStoresOptions,
  ) => KeyStore | Promise<KeyStore>;
} = {
  file: (_, { sealer }) => {
    if (sealer === undefined) throw new TypeError('a key in a file without what seals it');
    return sealedFileStore(sealer);
  },
  pkcs11: async (storage, { trustDomain, secrets, clock, log }) =>
    (await import('./pkcs11/pkcs11-store.ts')).pkcs11Store({
      module: storage.module,
      label: storage.tokenLabel,
      serial: storage.tokenSerial,
      pin: secretReader(storage.pin, secrets, `PIN of token "${storage.tokenLabel}"`),
      sessions: storage.sessions,
      timeoutMs: storage.timeoutMs,
      labelPrefix: trustDomain,
      clock,
      log,
    }),
  'aws-kms': async (storage, { trustDomain, clock }) =>
    (await import('./kms/aws-kms-store.ts')).awsKmsStore({
      ...storage,
      labelPrefix: trustDomain,
      clock,
    }),
  'google-kms': async (storage, { clock }) =>
    (await import('./kms/google-kms-store.ts')).googleKmsStore({ ...storage, clock }),
  'azure-key-vault': async (storage, { clock }) =>
    (await import('./kms/azure-key-vault-store.ts')).azureKeyVaultStore({ ...storage, clock }),
};
