import type { ConfigPath } from '@countersign/config';
import type { Report } from './ca-config-checks.ts';
import type { WrittenAuthority, WrittenCaConfig } from './ca-config-schema.ts';
import type { SecretSource } from './signers/secret-source.ts';
import {
  interpretSeal,
  interpretStorage,
  type StorageBlocks,
  type StorageConfig,
} from './signers/storage-config.ts';

/** The storage of one certificate of the hierarchy. */
export type StorageReader = (
  written: Pick<WrittenAuthority, 'storage' | 'hsm' | 'kms'>,
  path: ConfigPath,
) => StorageConfig;

export interface Storages {
  readonly of: StorageReader;
  readonly seal: SecretSource | undefined;
  /** Says which blocks nothing names, once every certificate was read. */
  tellUnused(): void;
}

const blockNames = ['hsm', 'kms'] as const;

/** `hsm` and `kms` stand at the top level or under `ca`, for all; one beside a certificate is for it alone. */
export function readStorages(
  written: WrittenCaConfig,
  { report: reportFinding, notices }: { readonly report: Report; readonly notices: string[] },
): Storages {
  // A block is read for each certificate that names it, and what is wrong with it is said once.
  const said = new Set<string>();
  const report: Report = (path, message, options) => {
    const id = `${path.join('.')}: ${message}`;
    if (said.has(id)) return;
    said.add(id);
    reportFinding(path, message, options);
  };
  const used = new Set<string>();
  const forAll: StorageBlocks = { hsm: chosen('hsm'), kms: chosen('kms') };
  const seal = chosen('seal');
  return {
    of(own, path) {
      const blocks: StorageBlocks = {
        hsm: own.hsm ? { written: own.hsm, path: [...path, 'hsm'] } : forAll.hsm,
        kms: own.kms ? { written: own.kms, path: [...path, 'kms'] } : forAll.kms,
      };
      const storage = interpretStorage(own.storage, blocks, path, report);
      const name = storage.type === 'file' ? 'file' : storage.type === 'pkcs11' ? 'hsm' : 'kms';
      if (name !== 'file') used.add(blocks[name]?.path.join('.') ?? '');
      for (const block of blockNames) {
        if (own[block] && block !== name) tell([...path, block]);
      }
      used.add(name);
      return storage;
    },
    seal: seal === undefined ? undefined : interpretSeal(seal.written, seal.path, report),
    tellUnused() {
      for (const block of blockNames) {
        const path = forAll[block]?.path;
        if (path !== undefined && !used.has(path.join('.'))) tell(path);
      }
      if (seal !== undefined && !used.has('file')) {
        notices.push(`"${seal.path.join('.')}" does nothing: no key is in a file`);
      }
    },
  };

  function tell(path: ConfigPath): void {
    const word = path.at(-1) === 'hsm' ? 'HSM' : 'KMS';
    notices.push(`"${path.join('.')}" does nothing: storage: ${word} does not name it`);
  }

  function chosen<Name extends 'hsm' | 'kms' | 'seal'>(name: Name) {
    type Block = NonNullable<WrittenCaConfig[Name]>;
    const underCa = (written.ca?.[name] ?? undefined) as Block | undefined;
    const atTop = (written[name] ?? undefined) as Block | undefined;
    if (underCa !== undefined && atTop !== undefined) {
      const twice = `${name} stands at the top level and under "ca", one is expected`;
      report(['ca', name], twice, { which: 'key' });
    }
    const found = underCa ?? atTop;
    if (found === undefined) return undefined;
    return { written: found, path: underCa === undefined ? [name] : ['ca', name] };
  }
}
