import { isAbsolute } from 'node:path';
import type { Report } from '../ca-config-checks.ts';
import type { WrittenRequests } from './requests-schema.ts';

/** What requests for certificates are held to, beyond what every one is. */
export interface RequestsConfig {
  /** Whether a key that was certified for another identity is certified again. */
  readonly reusedKeys: 'allow' | 'refuse';
  /** Files of keys that are not certified; absolute paths. */
  readonly keyLists: readonly KeyListConfig[];
  /** The subject's common name: passed over, one of the names that are granted, or not to be there. */
  readonly commonName: 'ignore' | 'match' | 'refuse';
  /** Extensions that are not granted by request: a refusal, or left out of the certificate. */
  readonly otherExtensions: 'refuse' | 'ignore';
  /** Names of kinds that are never granted, such as addresses of mail: a refusal, or left out of the certificate. */
  readonly otherNames: 'refuse' | 'ignore';
}

export interface KeyListConfig {
  /** `spki`: SHA-256 of SubjectPublicKeyInfos. `debian`: as Debian's openssl-blacklist has moduli. */
  readonly form: 'spki' | 'debian';
  readonly file: string;
}

export function interpretRequests(
  written: WrittenRequests | undefined,
  report: Report,
): RequestsConfig {
  const lists = (key: 'blocked_keys' | 'debian_weak_keys', form: KeyListConfig['form']) => {
    const value = written?.[key] ?? [];
    return [value].flat().map((file, index) => {
      const path = ['requests', key, ...(typeof value === 'string' ? [] : [index])];
      // The file is read by servers and commands that are started anywhere.
      if (!isAbsolute(file))
        report(path, `${path.join('.')}: expected an absolute path, found "${file}"`);
      return { form, file };
    });
  };
  return {
    reusedKeys: written?.reused_keys ?? 'allow',
    keyLists: [...lists('blocked_keys', 'spki'), ...lists('debian_weak_keys', 'debian')],
    commonName: written?.common_name ?? 'ignore',
    otherExtensions: written?.other_extensions ?? 'refuse',
    otherNames: written?.other_names ?? 'refuse',
  };
}
