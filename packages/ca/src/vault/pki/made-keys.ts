import { randomUUID } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import type { KeyKind, Signer } from '@countersign/x509';
import type { Authority } from '../../authority.ts';
import type { StorageConfig } from '../../signers/storage-config.ts';
import type { PkiMount } from '../mounts.ts';
import type { KeyRecord } from '../vault-objects.ts';
import { creating, type VaultStore } from '../vault-store.ts';

/** Keys of mounts that were made over the API: sealed, or in the token or service where the authority's own are. */
export class MadeKeys {
  readonly #store: VaultStore;
  readonly #authority: Authority;
  readonly #signers = new Map<string, Promise<Signer>>();

  constructor(store: VaultStore, authority: Authority) {
    this.#store = store;
    this.#authority = authority;
  }

  /** @throws CountersignError ERR_SIGNER_* where no key can be made */
  async make(
    mount: PkiMount,
    kind: KeyKind,
    name: string,
  ): Promise<{ readonly record: KeyRecord; readonly signer: Signer }> {
    const id = randomUUID();
    const key = await this.#stores().generate(this.#storage(), kind, `vault-${id.slice(0, 8)}`);
    const record: KeyRecord = { id, name, key };
    const signer = await this.signerOf(record);
    await this.#store.change(creating('vault-key', id, record, { owner: mount.record.uuid }));
    return { record, signer };
  }

  signerOf(record: KeyRecord): Promise<Signer> {
    const known = this.#signers.get(record.id);
    if (known !== undefined) return known;
    const opened = this.#stores().open(this.#storage(), record.key);
    this.#signers.set(record.id, opened);
    // A store that is away is asked again.
    opened.catch(() => this.#signers.delete(record.id));
    return opened;
  }

  all(mount: PkiMount): Promise<readonly KeyRecord[]> {
    return this.#store.all('vault-key', mount.record.uuid, ({ id }) => id);
  }

  /** Everything that a mount has but its certificates, which the ledger keeps. */
  async removeAll(mount: PkiMount): Promise<void> {
    const owner = mount.record.uuid;
    for (const { id } of await this.all(mount)) {
      await this.#store.remove('vault-key', id);
      this.#signers.delete(id);
    }
    for (const { id } of await this.#store.all(
      'vault-issuer',
      owner,
      (each) => `${owner}.${each.id}`,
    )) {
      await this.#store.remove('vault-issuer', `${owner}.${id}`);
    }
    for (const { name } of await this.#store.all(
      'vault-role',
      owner,
      (each) => `${owner}.${each.name}`,
    )) {
      await this.#store.remove('vault-role', `${owner}.${name}`);
    }
    await this.#store.remove('vault-pki-config', owner);
  }

  #stores() {
    const { stores } = this.#authority.doors;
    if (stores !== undefined) return stores;
    throw new CountersignError(
      'ERR_SIGNER',
      'this authority has no store in which a key could be made',
    );
  }

  /** As the first intermediate's: whoever keeps keys in hardware keeps these there. */
  #storage(): StorageConfig {
    return this.#authority.config.intermediates[0]?.storage ?? { type: 'file' };
  }
}
