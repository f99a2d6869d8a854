import { basename, dirname, join, resolve } from 'node:path';
import { CountersignError, type Secret } from '@countersign/base';
import type { AuthorityCertificateConfig } from './ca-config.ts';
import { entriesOf } from './init-place.ts';
import type { Sealer } from './sealed-key.ts';
import { type SecretPlaces, type SecretSource, secretReader } from './signers/secret-source.ts';
import { keyFileName, type StateManifest } from './state-layout.ts';
import { createKeyFile, sealerOfPassphrase } from './unseal-secret.ts';

export interface SealOptions {
  /** Seals the keys. */
  readonly passphrase?: Secret<string> | undefined;
  /** Where the key file goes; default `unseal.key` in the directory. */
  readonly keyFile?: string | undefined;
  /** `seal` of the configuration. */
  readonly configured: SecretSource | undefined;
  readonly secrets: SecretPlaces;
}

/** @throws CountersignError ERR_USAGE, ERR_STATE_EXISTS */
export async function checkKeyFilePlace({
  keyFile,
  passphrase,
}: Pick<SealOptions, 'keyFile' | 'passphrase'>): Promise<void> {
  if (keyFile === undefined) return;
  if (passphrase !== undefined) {
    throw new CountersignError(
      'ERR_USAGE',
      'a passphrase and a key file are given, one seals the keys',
    );
  }
  const path = resolve(keyFile);
  const exists = (await entriesOf(dirname(path)))?.includes(basename(path)) === true;
  if (!exists) return;
  throw new CountersignError('ERR_STATE_EXISTS', `make the key file "${path}": it exists already`, {
    fields: { keyFile: path },
  });
}

export interface MadeSealer {
  /** Undefined where no key is in a file. */
  readonly sealer: Sealer | undefined;
  readonly seal: StateManifest['seal'];
  /** The key file that was made. */
  readonly keyFile: string | undefined;
}

/**
 * What seals the keys of these authorities, which a directory is going to hold.
 *
 * @param staging where the directory is built, which is going to be `data`
 * @throws CountersignError ERR_KEY_SEALED, ERR_USAGE
 */
export async function makeSealer(
  authorities: readonly Pick<AuthorityCertificateConfig, 'storage'>[],
  options: SealOptions,
  { staging, data }: { readonly staging: string; readonly data: string },
): Promise<MadeSealer> {
  const { configured, secrets } = options;
  if (!authorities.some((each) => each.storage.type === 'file')) {
    checkNothingToSeal(options);
    return { sealer: undefined, seal: { kind: 'none' }, keyFile: undefined };
  }
  const isConfigured = options.keyFile === undefined && configured !== undefined;
  const passphrase =
    options.passphrase ??
    (isConfigured ? await secretReader(configured, secrets, 'passphrase')() : undefined);
  if (passphrase !== undefined) {
    const sealer = sealerOfPassphrase(passphrase);
    return { sealer, seal: { kind: 'passphrase' }, keyFile: undefined };
  }
  if (options.keyFile === undefined) {
    const sealer = await createKeyFile(join(staging, keyFileName));
    const seal = { kind: 'key-file', path: keyFileName } as const;
    return { sealer, seal, keyFile: join(data, keyFileName) };
  }
  const path = resolve(options.keyFile);
  return { sealer: await createKeyFile(path), seal: { kind: 'key-file', path }, keyFile: path };
}

function checkNothingToSeal({ passphrase, keyFile }: SealOptions): void {
  if (passphrase === undefined && keyFile === undefined) return;
  const given = passphrase === undefined ? 'key file' : 'passphrase';
  const message = `a ${given} is given, and no key is in a file that it could seal`;
  throw new CountersignError('ERR_USAGE', message);
}
