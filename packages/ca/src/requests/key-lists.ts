import { hash } from 'node:crypto';
import { type Clock, type Denial, denial, type Log } from '@countersign/base';
import type { KeyKind, SubjectPublicKeyInfo } from '@countersign/x509';
import { KeyListFile } from './key-list-file.ts';
import type { RequestsConfig } from './requests-config.ts';
import { rsaModulusOf } from './rsa-modulus.ts';

/** The lists of keys that are not certified. */
export interface KeyLists {
  /**
   * Denials: ERR_CSR_KEY_BLOCKED, ERR_CSR_KEY_WEAK.
   *
   * @param keyHash SHA-256 of the SubjectPublicKeyInfo, lowercase hex
   */
  judge(
    spki: SubjectPublicKeyInfo,
    kind: KeyKind,
    keyHash: string,
  ): Promise<Denial | undefined> | undefined;
}

/** @throws CountersignError ERR_POLICY_KEY_LIST */
export async function openKeyLists(
  { keyLists }: Pick<RequestsConfig, 'keyLists'>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<KeyLists> {
  if (keyLists.length === 0) return noKeyLists;
  const files: KeyListFile[] = [];
  for (const config of keyLists) files.push(await KeyListFile.open(config, clock, log));
  return {
    async judge(spki, kind, keyHash) {
      for (const list of files) {
        const refused = await judgers[list.config.form](list, { spki, kind, keyHash });
        if (refused !== undefined) return refused;
      }
      return undefined;
    },
  };
}

export const noKeyLists: KeyLists = { judge: () => undefined };

interface ListedKey {
  readonly spki: SubjectPublicKeyInfo;
  readonly kind: KeyKind;
  readonly keyHash: string;
}

type Judge = (list: KeyListFile, key: ListedKey) => Promise<Denial | undefined>;

const judgers: Readonly<Record<KeyListFile['config']['form'], Judge>> = {
  async spki(list, { keyHash }) {
    if (!(await list.has(keyHash))) return undefined;
    const { file } = list.config;
    const detail = `key of the request, SHA-256 "${keyHash}", is listed in "${file}"`;
    return denial('ERR_CSR_KEY_BLOCKED', detail, { key: keyHash, file });
  },

  // openssl-vulnkey(1): SHA-1 of the line that `openssl rsa -modulus` prints, without its first 80 bits.
  async debian(list, { spki, kind, keyHash }) {
    if (kind.type !== 'RSA') return undefined;
    const entry = hash('sha1', `Modulus=${rsaModulusOf(spki).hex}\n`).slice(20);
    if (!(await list.has(entry))) return undefined;
    const { file } = list.config;
    const detail = `key of the request is one that Debian's broken OpenSSL made (CVE-2008-0166), "${file}" lists it`;
    return denial('ERR_CSR_KEY_WEAK', detail, { key: keyHash, file });
  },
};
