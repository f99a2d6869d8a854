import { hash, randomUUID } from 'node:crypto';
import { randomOctets } from '../ledger/random-octets.ts';
import { wrongWithMountPath } from './mount-path.ts';
import type { ConfiguredMount, VaultConfig } from './vault-config.ts';
import type { MountRecord } from './vault-objects.ts';
import { creating, type VaultStore } from './vault-store.ts';

/** A mount of certificates: an intermediate that ca.yaml names, or an authority of its own. */
export interface PkiMount {
  readonly record: MountRecord;
  readonly path: string;
  /** Undefined of one that was made over the API. */
  readonly configured: ConfiguredMount | undefined;
  readonly provisioner: string;
}

/** Which mounts there are, for all processes over the ledger. */
export class Mounts {
  readonly #store: VaultStore;
  readonly #config: VaultConfig;

  constructor(store: VaultStore, config: VaultConfig) {
    this.#store = store;
    this.#config = config;
  }

  /** The one that a path is at or below, the longest first. */
  async at(path: string): Promise<PkiMount | undefined> {
    const all = await this.all();
    return all
      .toSorted((a, b) => b.path.length - a.path.length)
      .find((each) => path === each.path || path.startsWith(`${each.path}/`));
  }

  async all(): Promise<readonly PkiMount[]> {
    const records = await this.#store.all('vault-mount', 'all', ({ uuid }) => uuid);
    const { mounts, provisioner } = this.#config;
    const configured = mounts.map((each): PkiMount => {
      const record = records.find(({ uuid }) => uuid === uuidOf(each.path)) ?? recordOf(each);
      const { path } = each;
      return { record, path, configured: each, provisioner: each.provisioner ?? provisioner };
    });
    // One of the same path that was made before ca.yaml had it is not reached, and not lost.
    const made = records.flatMap((record): PkiMount[] => {
      const { path, uuid } = record;
      if (mounts.some((each) => each.path === path || uuidOf(each.path) === uuid)) return [];
      return [{ record, path, configured: undefined, provisioner: `${provisioner}/${path}` }];
    });
    return [...configured, ...made];
  }

  /** What is wrong, or undefined once it is made. */
  async make(path: string, description: string, leases: Leases): Promise<string | undefined> {
    const wrong = wrongWithMountPath(path);
    if (wrong !== undefined) return `cannot mount "${path}/": it ${wrong}`;
    for (const { path: taken } of await this.all()) {
      if (taken === path) return `path is already in use at ${path}/`;
      if (taken.startsWith(`${path}/`) || path.startsWith(`${taken}/`)) {
        return `existing mount at ${taken}/ conflicts with "${path}/"`;
      }
    }
    const accessor = accessorOf('pki');
    const record: MountRecord = { path, uuid: randomUUID(), accessor, description, ...leases };
    // Two at once for one path are one: the path is an id of its own.
    const made = await this.#store.change(
      creating('vault-mount', record.uuid, record, { owner: 'all' }),
      creating('vault-mount-path', pathId(path), { uuid: record.uuid }),
    );
    return made ? undefined : `path is already in use at ${path}/`;
  }

  async tune({ record }: PkiMount, changes: Partial<MountRecord>): Promise<void> {
    await this.#store.put('vault-mount', record.uuid, { ...record, ...changes }, { owner: 'all' });
  }

  /** Its certificates stay in the ledger; its keys go. */
  async remove({ record, path }: PkiMount): Promise<void> {
    await this.#store.remove('vault-mount', record.uuid);
    await this.#store.remove('vault-mount-path', pathId(path));
  }
}

export type Leases = Pick<MountRecord, 'defaultLeaseMs' | 'maxLeaseMs'>;

function pathId(path: string): string {
  return hash('sha256', path);
}

function recordOf({ path, description }: ConfiguredMount): MountRecord {
  const uuid = uuidOf(path);
  const accessor = `pki_${uuid.slice(0, 8)}`;
  return { path, uuid, accessor, description, defaultLeaseMs: 0, maxLeaseMs: 0 };
}

/** The same in every process, and after every start. */
export function uuidOf(path: string): string {
  return uuidFrom(hash('sha256', `vault mount ${path}`, 'buffer'));
}

/** RFC 9562 §5.8: of octets that are spread already. */
export function uuidFrom(octets: Uint8Array): string {
  const own = Buffer.from(octets.subarray(0, 16));
  own[6] = ((own[6] ?? 0) & 0x0f) | 0x80;
  own[8] = ((own[8] ?? 0) & 0x3f) | 0x80;
  const hex = own.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

export function accessorOf(type: string): string {
  return `${type}_${Buffer.from(randomOctets(4)).toString('hex')}`;
}
