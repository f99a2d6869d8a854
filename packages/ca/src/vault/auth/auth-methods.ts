import { hash, randomUUID } from 'node:crypto';
import { accessorOf } from '../mounts.ts';
import type { AuthRecord, AuthType } from '../vault-objects.ts';
import { creating, type VaultStore } from '../vault-store.ts';

export const authTypes: readonly AuthType[] = ['approle', 'kubernetes', 'cert', 'jwt', 'oidc'];

/** By which ways, beside a token, callers log in: each is mounted below `auth/`. */
export class AuthMethods {
  readonly #store: VaultStore;

  constructor(store: VaultStore) {
    this.#store = store;
  }

  all(): Promise<readonly AuthRecord[]> {
    return this.#store.all('vault-auth', 'all', ({ uuid }) => uuid);
  }

  /** The one that a path below `auth/` is at or below. */
  async at(path: string): Promise<AuthRecord | undefined> {
    const all = await this.all();
    return all
      .toSorted((a, b) => b.path.length - a.path.length)
      .find((each) => path === each.path || path.startsWith(`${each.path}/`));
  }

  /** What is wrong, or undefined once it is there. */
  async enable(path: string, type: AuthType, description: string): Promise<string | undefined> {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?:\/[A-Za-z0-9_.-]{1,64}){0,3}$/.test(path)) {
      return `cannot mount "${path.slice(0, 100)}/": it is not made of letters, digits, "_", "-" and "."`;
    }
    if (path === 'token' || path.startsWith('token/'))
      return 'token credential backend cannot be instantiated';
    for (const { path: taken } of await this.all()) {
      if (taken === path) return `path is already in use at ${path}/`;
      if (taken.startsWith(`${path}/`) || path.startsWith(`${taken}/`)) {
        return `existing mount at ${taken}/ conflicts with "${path}/"`;
      }
    }
    const accessor = accessorOf(`auth_${type}`);
    const record: AuthRecord = {
      ...{ path, uuid: randomUUID(), accessor, description, type },
      ...{ defaultLeaseMs: 0, maxLeaseMs: 0 },
    };
    const made = await this.#store.change(
      creating('vault-auth', record.uuid, record, { owner: 'all' }),
      creating('vault-auth-path', hash('sha256', path), { uuid: record.uuid }),
    );
    return made ? undefined : `path is already in use at ${path}/`;
  }

  async tune(record: AuthRecord, changes: Partial<AuthRecord>): Promise<void> {
    await this.#store.put('vault-auth', record.uuid, { ...record, ...changes }, { owner: 'all' });
  }

  /** Its roles are reached no more; tokens that it gave stay until their end. */
  async disable(path: string): Promise<void> {
    const record = (await this.all()).find((each) => each.path === path);
    if (record === undefined) return;
    await this.#store.remove('vault-auth', record.uuid);
    await this.#store.remove('vault-auth-path', hash('sha256', path));
  }
}
