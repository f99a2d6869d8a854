import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CountersignError, type Log, messageOf, writeFileDurably } from '@countersign/base';
import { forever } from '../ledger/edge/edge-objects.ts';
import type { EdgeState } from '../ledger/edge/edge-records.ts';

/** What cannot be made again by logging in: everything but tokens, secret ids and leases. No secret is in clear. */
export const copiedKinds: ReadonlySet<string> = new Set([
  'vault-policy',
  'vault-mount',
  'vault-mount-path',
  'vault-role',
  'vault-issuer',
  'vault-key',
  'vault-pki-config',
  'vault-auth',
  'vault-auth-path',
  'vault-auth-config',
  'vault-auth-role',
  'vault-role-id',
]);

interface CopiedRecord {
  readonly kind: string;
  readonly id: string;
  readonly owner: string;
  readonly body: string;
}

const format = 'countersign-vault';
/** Says that a ledger had its state, so that what was taken away is not brought back by a copy. */
const marker = { kind: 'vault-copy', id: 'known' } as const;

export interface VaultCopyOptions {
  readonly state: EdgeState;
  /** In the data directory, so that backups have it; undefined: there is none. */
  readonly file: string | undefined;
  /** Of mounts that are in ca.yaml. */
  readonly configuredMounts: readonly string[];
  readonly log: Log;
}

/** A copy of the edge's lasting state: for backups, whose ledger has records alone. */
export class VaultCopy {
  readonly #options: VaultCopyOptions;
  #isChanged = false;
  #writing: Promise<void> | undefined;

  constructor(options: VaultCopyOptions) {
    this.#options = options;
  }

  /** Fills a ledger that never had the state, as a restored one, from the copy. @throws CountersignError ERR_STATE_BROKEN */
  async open(): Promise<void> {
    const { state, file, log } = this.#options;
    if (file === undefined) return;
    // Another process over the ledger may have changed it since the copy was written.
    if ((await state.edgeRecord(marker.kind, marker.id)) !== undefined) return this.changed();
    const records = await readCopy(file);
    for (const { kind, id, owner, body } of records) {
      // What is there already is newer.
      await state.changeEdge([{ kind, id, owner, replaces: 0, expiresAt: forever, body }]);
    }
    if (records.length > 0)
      log.warn({ file, records: records.length }, 'vault state restored from its copy');
    await state.changeEdge([{ ...marker, replaces: 0, expiresAt: forever, body: '{}' }]);
  }

  /** Something of it was changed here: the copy follows, and nobody waits for it. */
  changed(): void {
    this.#isChanged = true;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { state, file, configuredMounts, log } = this.#options;
    while (this.#isChanged && file !== undefined) {
      this.#isChanged = false;
      try {
        const records = await recordsIn(state, configuredMounts);
        const text = JSON.stringify({ format, version: 1, records });
        await writeFileDurably(file, `${text}\n`, { mode: 0o600 });
      } catch (thrown) {
        log.error({ file, reason: messageOf(thrown) }, 'copy of the vault state not written');
        return;
      }
    }
  }
}

async function recordsIn(
  state: EdgeState,
  configuredMounts: readonly string[],
): Promise<CopiedRecord[]> {
  const found: CopiedRecord[] = [];
  const add = async (kind: string, owner: string): Promise<CopiedRecord[]> => {
    const own = await ownedBy(state, kind, owner);
    found.push(...own);
    return own;
  };
  const addOne = async (kind: string, id: string): Promise<void> => {
    const record = await state.edgeRecord(kind, id);
    if (record !== undefined) found.push({ kind, id, owner: record.owner, body: record.body });
  };
  await add('vault-policy', 'all');
  const mounts = await add('vault-mount', 'all');
  for (const uuid of new Set([...configuredMounts, ...mounts.map(({ id }) => id)])) {
    for (const kind of ['vault-role', 'vault-issuer', 'vault-key']) await add(kind, uuid);
    await addOne('vault-pki-config', uuid);
  }
  const methods = await add('vault-auth', 'all');
  for (const { id } of methods) {
    for (const kind of ['vault-auth-role', 'vault-role-id']) await add(kind, id);
    await addOne('vault-auth-config', id);
  }
  for (const { body } of mounts) await addOne('vault-mount-path', pathKey(body));
  for (const { body } of methods) await addOne('vault-auth-path', pathKey(body));
  return found;
}

async function ownedBy(state: EdgeState, kind: string, owner: string): Promise<CopiedRecord[]> {
  const found: CopiedRecord[] = [];
  for (;;) {
    const after = found.at(-1)?.id ?? '';
    const page = await state.edgeRecords({ kind, owner, after, limit: 1000 });
    found.push(...page.map(({ id, body }) => ({ kind, id, owner, body })));
    if (page.length < 1000) return found;
  }
}

function pathKey(body: string): string {
  return hash('sha256', String(JSON.parse(body).path));
}

async function readCopy(file: string): Promise<readonly CopiedRecord[]> {
  try {
    const json = JSON.parse(await readFile(file, 'utf8'));
    if (json?.format !== format || json.version !== 1 || !Array.isArray(json.records)) {
      throw new TypeError('it is no copy of this version');
    }
    for (const { kind, id, owner, body } of json.records as CopiedRecord[]) {
      const isText = [id, owner, body].every((each) => typeof each === 'string');
      if (!isText || !copiedKinds.has(kind)) throw new TypeError(`a record of kind "${kind}"`);
    }
    return json.records;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
