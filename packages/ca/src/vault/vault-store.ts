import { EdgeObjects, forever, type Kept } from '../ledger/edge/edge-objects.ts';
import type { EdgeChange, EdgeState } from '../ledger/edge/edge-records.ts';
import type { Values } from './vault-fields.ts';
import type {
  AuthRecord,
  IssuerRecord,
  KeyRecord,
  LeaseRecord,
  MountRecord,
  PolicyRecord,
  SecretIdRecord,
  TokenRecord,
} from './vault-objects.ts';

interface Kinds {
  /** By the SHA-256 of the token. */
  readonly 'vault-token': TokenRecord;
  readonly 'vault-accessor': { readonly token: string };
  readonly 'vault-policy': PolicyRecord;
  /** By its uuid; configured ones have a record where they were tuned. */
  readonly 'vault-mount': MountRecord;
  /** Which mount has a path; its id is the SHA-256 of the path. */
  readonly 'vault-mount-path': { readonly uuid: string };
  readonly 'vault-role': { readonly name: string; readonly values: Values };
  readonly 'vault-issuer': IssuerRecord;
  readonly 'vault-key': KeyRecord;
  /** Which issuer and key are a mount's own, and what its certificates name. */
  readonly 'vault-pki-config': PkiConfig;
  readonly 'vault-lease': LeaseRecord;
  readonly 'vault-auth': AuthRecord;
  readonly 'vault-auth-path': { readonly uuid: string };
  readonly 'vault-auth-config': { readonly values: Values };
  readonly 'vault-auth-role': { readonly name: string; readonly values: Values };
  /** Which role of an AppRole mount has a role id. */
  readonly 'vault-role-id': { readonly role: string };
  readonly 'vault-secret-id': SecretIdRecord;
}

export interface PkiConfig {
  readonly defaultIssuer: string;
  readonly urls: Values;
  /** How its lists are made. */
  readonly crl?: Values;
}

const noPkiConfig: PkiConfig = { defaultIssuer: '', urls: {} };

export type VaultKind = keyof Kinds & string;
export type VaultValue<K extends VaultKind> = Kinds[K];

/** More of one kind are not listed. */
const mostListed = 10_000;

/** The Vault edge's objects in its state. */
export class VaultStore extends EdgeObjects<Kinds> {
  readonly #onChange: (kinds: readonly string[]) => void;

  /** @param onChange told of what was changed here */
  constructor(state: EdgeState, onChange: (kinds: readonly string[]) => void = () => {}) {
    super(state);
    this.#onChange = onChange;
  }

  override async change(...changes: readonly EdgeChange[]): Promise<boolean> {
    const isMade = await super.change(...changes);
    if (isMade) this.#onChange(changes.map(({ kind }) => kind));
    return isMade;
  }

  /** All of an owner, in the order of their ids. */
  async all<K extends VaultKind>(
    kind: K,
    owner: string,
    idOf: (value: Kinds[K]) => string,
  ): Promise<readonly Kinds[K][]> {
    const found: Kinds[K][] = [];
    for (;;) {
      const last = found.at(-1);
      const after = last === undefined ? '' : idOf(last);
      const page = await this.of(kind, owner, { after, limit: 1000 });
      found.push(...page.map((each) => each.value));
      if (page.length < 1000 || found.length >= mostListed) return found;
    }
  }

  /** In the place of the one with that id, whatever it is by now. */
  async put<K extends VaultKind>(
    kind: K,
    id: string,
    value: Kinds[K],
    {
      owner = '',
      expiresAt = forever,
    }: { readonly owner?: string; readonly expiresAt?: number } = {},
  ): Promise<void> {
    for (;;) {
      const replaces = (await this.find(kind, id))?.version ?? 0;
      const body = JSON.stringify(value);
      if (await this.change({ kind, id, replaces, owner, expiresAt, body })) return;
    }
  }

  /** Of a mount, as often as others were faster. */
  async changePki(
    uuid: string,
    decide: (before: PkiConfig) => Partial<PkiConfig> | undefined,
  ): Promise<void> {
    for (;;) {
      const found = await this.find('vault-pki-config', uuid);
      const before = found?.value ?? noPkiConfig;
      const changes = decide(before);
      if (changes === undefined) return;
      const body = JSON.stringify({ ...before, ...changes });
      const replaces = found?.version ?? 0;
      const change = { kind: 'vault-pki-config', id: uuid, replaces, expiresAt: forever, body };
      if (await this.change(change)) return;
    }
  }

  /** One of the uses that a record has left; false where it has none, or is gone. The last takes it away. */
  async takeUse(kind: 'vault-token' | 'vault-secret-id', id: string): Promise<boolean> {
    for (;;) {
      const found = await this.find(kind, id);
      if (found === undefined || found.value.usesLeft <= 0) return false;
      const usesLeft = found.value.usesLeft - 1;
      const { expiresAt = forever } = found.value;
      const body = usesLeft === 0 ? undefined : JSON.stringify({ ...found.value, usesLeft });
      if (await this.change({ kind, id, replaces: found.version, expiresAt, body })) return true;
    }
  }

  /** Nothing happens where it is gone. */
  async remove(kind: VaultKind, id: string): Promise<void> {
    for (;;) {
      const found = await this.find(kind, id);
      if (found === undefined) return;
      if (await this.change(removing(kind, id, found))) return;
    }
  }
}

export function creating<K extends VaultKind>(
  kind: K,
  id: string,
  value: Kinds[K],
  {
    owner = '',
    expiresAt = forever,
  }: { readonly owner?: string; readonly expiresAt?: number } = {},
): EdgeChange {
  return { kind, id, replaces: 0, owner, expiresAt, body: JSON.stringify(value) };
}

function removing(kind: VaultKind, id: string, { version }: Kept<unknown>): EdgeChange {
  return { kind, id, replaces: version, expiresAt: 0, body: undefined };
}
