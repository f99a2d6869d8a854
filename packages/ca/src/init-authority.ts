import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Log,
  messageOf,
  type Secret,
  syncDirectory,
  writeFileDurably,
} from '@countersign/base';
import { encodePem, fingerprintOf } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import { type AuthorityPair, createHierarchy, type Hierarchy } from './hierarchy.ts';
import { type LedgerOfState, openNewLedger } from './ledger/open-ledger.ts';
import { createLogKey } from './log/log-key.ts';
import type { Sealer } from './sealed-key.ts';
import { formatKeyDescription } from './signers/key-reference.ts';
import { type KeyStores, openKeyStores } from './signers/key-stores.ts';
import { noSecretPlaces, type SecretPlaces, secretReader } from './signers/secret-source.ts';
import {
  formatStateManifest,
  keyFileName,
  type StateLayout,
  type StateManifest,
  stateLayout,
} from './state-layout.ts';
import { createKeyFile, sealerOfPassphrase } from './unseal-secret.ts';

export interface InitOptions {
  readonly config: CaConfig;
  /** The data directory: missing, or empty. */
  readonly data: string;
  /** Seals the keys. Without it, and without `seal` in the configuration, a key file is made. */
  readonly passphrase?: Secret<string> | undefined;
  /** Where the key file goes; default `unseal.key` in the data directory. Another place keeps backups of both apart. */
  readonly keyFile?: string | undefined;
  /** The text that `config` was read from: kept as `ca.yaml` in the data directory, for commands without `--config`. */
  readonly configText?: string | undefined;
  /** Where PINs and passphrases come from that the configuration points at. Default: files alone. */
  readonly secrets?: SecretPlaces | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Initialised {
  /** SHA-256 of the root's DER, lowercase hex. */
  readonly rootFingerprint: string;
  /** The key file that was made, or undefined where a passphrase seals the keys or none is in a file. */
  readonly keyFile: string | undefined;
  readonly intermediates: readonly string[];
}

/**
 * Makes a new authority in a directory, whole or not at all: everything is built beside it, synced, and moved in place
 * by a rename. A crash leaves at most a directory `.NAME.init-…` beside, which nothing reads.
 *
 * @throws CountersignError ERR_STATE_EXISTS, ERR_FILE, ERR_KEY_SEALED (an empty passphrase), ERR_USAGE (two ways to
 *   seal, or nothing to), ERR_SIGNER_*
 */
export async function initAuthority(options: InitOptions): Promise<Initialised> {
  const { config, log } = options;
  const data = resolve(options.data);

  // 1. Nothing is overwritten.
  const place = await placeFor(data);
  await tellLeftovers(data, log);
  await checkKeyFilePlace(options);

  const staging = stateLayout(place.staging);
  let madeKeyFile: string | undefined;
  let stores: KeyStores | undefined;
  try {
    // 2. The secret that seals the keys.
    await mkdir(staging.intermediates, { recursive: true, mode: 0o700 });
    const { sealer, seal, keyFile } = await makeSealer(options, staging, data);
    madeKeyFile = keyFile;
    stores = openStores(options, sealer);

    // 3. Keys and certificates, each through the ledger.
    const { hierarchy, ledger } = await buildHierarchy(options, staging, stores);

    // 4. Files; the manifest last, since it is what makes the directory an authority.
    await writeHierarchy(hierarchy, staging);
    await createLogKey(staging, sealer);
    const rootFingerprint = fingerprintOf(hierarchy.root.certificate);
    const intermediates = config.intermediates.map((each) => each.name);
    if (options.configText !== undefined) {
      await writeFileDurably(staging.config, options.configText);
    }
    const createdAt = new Date(options.clock.now()).toISOString();
    const manifest = {
      trustDomain: config.trustDomain,
      rootFingerprint,
      intermediates,
      seal,
      ...(ledger === undefined ? {} : { ledger }),
      createdAt,
    };
    await writeFileDurably(staging.manifest, formatStateManifest(manifest));

    // 5. In place, in one step.
    await place.commit();
    for (const notice of config.notices) log.info({ file: config.file }, notice);
    log.info({ data, rootFingerprint, intermediates, keyFile }, 'authority initialised');
    return { rootFingerprint, keyFile, intermediates };
  } catch (thrown) {
    await stores?.discardMade(log);
    await rm(place.staging, { recursive: true, force: true });
    if (madeKeyFile !== undefined && options.keyFile !== undefined) {
      await rm(madeKeyFile, { force: true });
    }
    if (thrown instanceof CountersignError) throw thrown;
    throw new CountersignError('ERR_FILE', `init an authority in "${data}": ${messageOf(thrown)}`, {
      fields: { data },
      cause: thrown,
    });
  } finally {
    await stores?.close();
  }
}

/** Of an init that was killed: they may hold a key file. Whether one still runs is not ours to tell, so they stay. */
async function tellLeftovers(data: string, log: Log): Promise<void> {
  const prefix = `.${basename(data)}.init-`;
  // A parent that may not be listed is none of init's business.
  const entries = await readdir(dirname(data)).catch((): string[] => []);
  for (const entry of entries.filter((each) => each.startsWith(prefix))) {
    const path = join(dirname(data), entry);
    log.warn({ path }, `"${path}" is left of an init that did not end, with its keys: remove it`);
  }
}

interface Place {
  /** Where to build. */
  readonly staging: string;
  /** Makes what was built the data directory. */
  commit(): Promise<void>;
}

async function placeFor(data: string): Promise<Place> {
  const suffix = `init-${randomBytes(6).toString('hex')}`;
  const found = await entriesOf(data);
  if (found === undefined) {
    await mkdir(dirname(data), { recursive: true });
    const staging = join(dirname(data), `.${basename(data)}.${suffix}`);
    return { staging, commit: () => moveWhole(staging, data) };
  }
  const [first] = found;
  if (first !== undefined) {
    const what = found.includes('state.json') ? 'an authority' : `"${first}"`;
    throw new CountersignError(
      'ERR_STATE_EXISTS',
      `init an authority in "${data}": it holds ${what}`,
      {
        fields: { data, entries: found.slice(0, 10) },
      },
    );
  }
  // An empty directory may be a mount point, which nothing can be renamed onto: build inside it.
  const staging = join(data, `.${suffix}`);
  return { staging, commit: () => moveEntries(staging, data) };
}

async function entriesOf(directory: string): Promise<string[] | undefined> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError(
      'ERR_FILE',
      `read the directory "${directory}": ${messageOf(thrown)}`,
      {
        fields: { directory },
        cause: thrown,
      },
    );
  }
}

async function moveWhole(staging: string, data: string): Promise<void> {
  await syncDirectory(staging);
  await rename(staging, data);
  await syncDirectory(dirname(data));
}

/** The manifest goes last: until it is there, the directory is no authority. */
async function moveEntries(staging: string, data: string): Promise<void> {
  const entries = await readdir(staging);
  const ordered = [...entries.filter((entry) => entry !== 'state.json'), 'state.json'];
  const moved: string[] = [];
  try {
    for (const entry of ordered) {
      await rename(join(staging, entry), join(data, entry));
      moved.push(entry);
    }
  } catch (thrown) {
    for (const entry of moved) await rm(join(data, entry), { recursive: true, force: true });
    throw thrown;
  }
  await rm(staging, { recursive: true });
  await syncDirectory(data);
}

async function checkKeyFilePlace({ keyFile, passphrase }: InitOptions): Promise<void> {
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

async function makeSealer(
  options: InitOptions,
  staging: StateLayout,
  data: string,
): Promise<{
  readonly sealer: Sealer | undefined;
  readonly seal: StateManifest['seal'];
  readonly keyFile: string | undefined;
}> {
  const { config, secrets = noSecretPlaces } = options;
  const isSealing = [config.root, ...config.intermediates].some(
    (each) => each.storage.type === 'file',
  );
  if (!isSealing) {
    checkNothingToSeal(options);
    return { sealer: undefined, seal: { kind: 'none' }, keyFile: undefined };
  }
  const isConfigured = options.keyFile === undefined && config.seal !== undefined;
  const passphrase =
    options.passphrase ??
    (isConfigured ? await secretReader(config.seal, secrets, 'passphrase')() : undefined);
  if (passphrase !== undefined) {
    const sealer = sealerOfPassphrase(passphrase);
    return { sealer, seal: { kind: 'passphrase' }, keyFile: undefined };
  }
  if (options.keyFile === undefined) {
    const sealer = await createKeyFile(staging.keyFile);
    const seal = { kind: 'key-file', path: keyFileName } as const;
    return { sealer, seal, keyFile: join(data, keyFileName) };
  }
  const path = resolve(options.keyFile);
  return { sealer: await createKeyFile(path), seal: { kind: 'key-file', path }, keyFile: path };
}

function checkNothingToSeal({ passphrase, keyFile }: InitOptions): void {
  if (passphrase === undefined && keyFile === undefined) return;
  const given = passphrase === undefined ? 'key file' : 'passphrase';
  const message = `a ${given} is given, and no key is in a file that it could seal`;
  throw new CountersignError('ERR_USAGE', message);
}

function openStores(options: InitOptions, sealer: Sealer | undefined): KeyStores {
  const { config, clock, log, secrets = noSecretPlaces } = options;
  const { trustDomain } = config;
  return openKeyStores({ trustDomain, sealer, secrets, clock, log });
}

async function buildHierarchy(
  options: InitOptions,
  staging: StateLayout,
  stores: KeyStores,
): Promise<{ readonly hierarchy: Hierarchy; readonly ledger: LedgerOfState }> {
  const { config, clock, log, secrets = noSecretPlaces } = options;
  const { ledger, state } = await openNewLedger({
    config: config.ledger,
    file: staging.ledger,
    secrets,
    clock,
    log,
  });
  try {
    const hierarchy = await createHierarchy({ config, ledger, stores, clock });
    return { hierarchy, ledger: state };
  } finally {
    await ledger.close();
  }
}

async function writeHierarchy(
  { root, intermediates }: Hierarchy,
  staging: StateLayout,
): Promise<void> {
  const write = async (pair: AuthorityPair, certificateFile: string, keyFile: string) => {
    await writeFileDurably(keyFile, formatKeyDescription(pair.key), { mode: 0o600 });
    await writeFileDurably(certificateFile, encodePem('CERTIFICATE', pair.certificate.raw));
  };
  await write(root, staging.rootCertificate, staging.rootKey);
  for (const pair of intermediates) {
    const { name } = pair;
    await write(pair, staging.intermediateCertificate(name), staging.intermediateKey(name));
  }
}
