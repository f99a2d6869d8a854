import { hash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CountersignError, messageOf, type Secret, writeFileDurably } from '@countersign/base';
import {
  buildCertificateRequest,
  encodePem,
  formatKeyKind,
  formatName,
  parseCertificateRequest,
} from '@countersign/x509';
import { makeKeys } from '../hierarchy.ts';
import type { InitOptions } from '../init-authority.ts';
import { makeStaging, placeFor } from '../init-place.ts';
import { makeSealer } from '../init-seal.ts';
import { formatKeyDescription } from '../signers/key-reference.ts';
import { type KeyStores, openKeyStores } from '../signers/key-stores.ts';
import { noSecretPlaces } from '../signers/secret-source.ts';
import { subjectName } from '../subject-name.ts';
import { appendCeremony, type RootKeyRecord } from './ceremony-record.ts';
import { formatOfflineRoot, offlineRootLayout } from './offline-root.ts';

export interface MakeRootKeyOptions
  extends Pick<InitOptions, 'config' | 'secrets' | 'clock' | 'log'> {
  /** Where the root goes: missing, or empty. */
  readonly rootOut: string;
  /** Seals its key. Without it a key file is made beside it. */
  readonly rootPassphrase?: Secret<string> | undefined;
  readonly configText: string;
  /** Who takes part. */
  readonly by: readonly string[];
}

export interface MadeRootKey {
  /** PEM of a request, to be carried to the authority whose root it is going to be. */
  readonly request: string;
  readonly keyFile: string | undefined;
  readonly record: RootKeyRecord;
}

/**
 * The key of an offline root that is to follow another one, in a directory of its own, made whole or not at all. The
 * authority orders its certificates by the request, and this directory and that of the root before it sign them.
 *
 * @throws CountersignError ERR_STATE_EXISTS, ERR_FILE, ERR_USAGE, ERR_SIGNER_*
 */
export async function makeRootKey(options: MakeRootKeyOptions): Promise<MadeRootKey> {
  const { config, by, clock, log, secrets = noSecretPlaces } = options;
  const rootOut = resolve(options.rootOut);
  const { trustDomain } = config;
  const place = await placeFor(rootOut, 'root.json');
  const root = offlineRootLayout(place.staging);
  let stores: KeyStores | undefined;
  try {
    await makeStaging([place.staging], rootOut);

    // 1. The key, and a request by it.
    const seal = { passphrase: options.rootPassphrase, configured: undefined, secrets };
    const where = { staging: place.staging, data: rootOut };
    const sealed = await makeSealer([config.root], seal, where);
    const opened = openKeyStores({ trustDomain, sealer: sealed.sealer, secrets, clock, log });
    stores = opened;
    const keys = await makeKeys([{ ...config.root, name: 'root' }], () => opened);
    const key = keys.get('root');
    if (key === undefined) throw new TypeError('a key for the root');
    const subject = subjectName(config.root.subject);
    const der = await buildCertificateRequest({ signer: key.signer, subject });
    const request = encodePem('CERTIFICATE REQUEST', der);

    // 2. The record, and the directory.
    const { spki } = parseCertificateRequest(der);
    const record: RootKeyRecord = {
      act: 'root key made',
      at: new Date(clock.now()).toISOString(),
      by,
      trustDomain,
      subject: formatName(subject),
      key: formatKeyKind(config.root.key),
      keySha256: hash('sha256', spki.raw),
      requestSha256: hash('sha256', der),
    };
    await writeFileDurably(root.config, options.configText);
    await writeFileDurably(root.request, request);
    await writeFileDurably(root.key, formatKeyDescription(key.key), { mode: 0o600 });
    await appendCeremony(root.ceremony, { kind: 'key', record });
    const manifest = { trustDomain, seal: sealed.seal, createdAt: record.at };
    await writeFileDurably(root.manifest, formatOfflineRoot(manifest));
    await place.commit();
    return { request, keyFile: sealed.keyFile, record };
  } catch (thrown) {
    await stores?.discardMade(log);
    await rm(place.staging, { recursive: true, force: true });
    if (thrown instanceof CountersignError) throw thrown;
    const message = `make the key of a root in "${rootOut}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_FILE', message, { fields: { rootOut }, cause: thrown });
  } finally {
    await stores?.close();
  }
}
