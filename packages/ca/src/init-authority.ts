import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Log,
  messageOf,
  type Secret,
  writeFileDurably,
} from '@countersign/base';
import { encodePem, fingerprintOf } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import { type AuthorityPair, createHierarchy, type Hierarchy } from './hierarchy.ts';
import { makeStaging, placeFor, tellLeftovers } from './init-place.ts';
import { checkKeyFilePlace, makeSealer } from './init-seal.ts';
import { type LedgerOfState, openNewLedger } from './ledger/open-ledger.ts';
import { createLogKey } from './log/log-key.ts';
import type { Sealer } from './sealed-key.ts';
import { formatKeyDescription } from './signers/key-reference.ts';
import { type KeyStores, openKeyStores } from './signers/key-stores.ts';
import { noSecretPlaces, type SecretPlaces } from './signers/secret-source.ts';
import { formatStateManifest, type StateLayout, stateLayout } from './state-layout.ts';

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
  const { config, log, secrets = noSecretPlaces } = options;
  const data = resolve(options.data);

  // 1. Nothing is overwritten.
  const place = await placeFor(data, 'state.json');
  await tellLeftovers(data, log);
  await checkKeyFilePlace(options);

  const staging = stateLayout(place.staging);
  let madeKeyFile: string | undefined;
  let stores: KeyStores | undefined;
  try {
    // 2. The secret that seals the keys.
    await makeStaging([staging.intermediates], data);
    const sealOptions = { ...options, configured: config.seal, secrets };
    const made = { staging: place.staging, data };
    const authorities = [config.root, ...config.intermediates];
    const { sealer, seal, keyFile } = await makeSealer(authorities, sealOptions, made);
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
