import { readFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { CountersignError, messageOf } from '@countersign/base';
import type { LedgerOfState } from './ledger/open-ledger.ts';
import { accessRefused, isRefusedAccess } from './state-access.ts';

/**
 * What stands in the data directory (mode 0700):
 *
 * ```
 * ca.yaml                        the configuration that init was given, or that served last
 * state.json                     what this is: format, trust domain, how the keys are sealed; written last by init
 * root.pem                       the trust anchor
 * root.key.json                  its key, sealed, or where it is (0600); not where the root is offline
 * intermediates/NAME.pem         one a signing certificate
 * intermediates/NAME.key.json    its key, sealed, or where it is (0600)
 * init.json                      in the place of state.json, while init waits for an offline root
 * requests/NAME.csr              what the offline root is to sign
 * unseal.key                     opens the sealed keys (0600), unless init was given a passphrase or another place
 * entries.json                   a copy of the registration entries, for backups
 * vault.json                     a copy of what the Vault door keeps, for backups
 * jwt.keys.json                  the keys for JWT-SVIDs, sealed (0600), where ca.yaml has them
 * log.key.json                   the issuance log's key, sealed (0600)
 * log.unseal.key                 opens it (0600), where no key of the hierarchy is sealed in a file
 * log/                           the issuance log: checkpoint, tiles, the key to verify them; free for all to read
 * ledger.db, ledger.db-wal …     what was promised: intents, certificates, tokens, revocations
 * admin.sock                     while a server runs: the operator's way in (0600)
 * hierarchy.json                 a copy of every generation of its keys, once one was replaced (docs/rotation.md)
 * bundle.pem                     the roots that are trusted then; before, root.pem alone
 * superior.pem                   our root's key as another authority certified it, and its root, where ca.yaml has one
 * lists.json                     numbers that revocation lists have had, so that none repeats
 * publish.url                    while a server runs: where it publishes lists and answers
 * ```
 */
export interface StateLayout {
  readonly directory: string;
  readonly config: string;
  readonly manifest: string;
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly intermediates: string;
  intermediateCertificate(name: string): string;
  intermediateKey(name: string): string;
  readonly pending: string;
  readonly requests: string;
  request(name: string): string;
  readonly keyFile: string;
  readonly ledger: string;
  readonly log: string;
  readonly entries: string;
  readonly vault: string;
  readonly jwtKeys: string;
  readonly logKey: string;
  readonly logUnsealKey: string;
  readonly adminSocket: string;
  readonly hierarchy: string;
  readonly superior: string;
  readonly lists: string;
  readonly publishUrl: string;
}

export function stateLayout(directory: string): StateLayout {
  return {
    directory,
    config: join(directory, 'ca.yaml'),
    manifest: join(directory, 'state.json'),
    rootCertificate: join(directory, 'root.pem'),
    rootKey: join(directory, 'root.key.json'),
    intermediates: join(directory, 'intermediates'),
    intermediateCertificate: (name) => join(directory, 'intermediates', `${name}.pem`),
    intermediateKey: (name) => join(directory, 'intermediates', `${name}.key.json`),
    pending: join(directory, 'init.json'),
    requests: join(directory, 'requests'),
    request: (name) => join(directory, 'requests', `${name}.csr`),
    keyFile: join(directory, keyFileName),
    ledger: join(directory, 'ledger.db'),
    log: join(directory, 'log'),
    entries: join(directory, 'entries.json'),
    vault: join(directory, 'vault.json'),
    jwtKeys: join(directory, 'jwt.keys.json'),
    logKey: join(directory, 'log.key.json'),
    logUnsealKey: join(directory, 'log.unseal.key'),
    adminSocket: join(directory, 'admin.sock'),
    hierarchy: join(directory, 'hierarchy.json'),
    superior: join(directory, 'superior.pem'),
    lists: join(directory, 'lists.json'),
    publishUrl: join(directory, 'publish.url'),
  };
}

export const keyFileName = 'unseal.key';

export interface StateManifest {
  readonly format: typeof format;
  readonly version: 1;
  readonly trustDomain: string;
  /** SHA-256 of the root's DER, lowercase hex. */
  readonly rootFingerprint: string;
  /** In the order of the configuration at init. */
  readonly intermediates: readonly string[];
  readonly seal:
    | { readonly kind: 'passphrase' }
    /** Relative paths are below the data directory. */
    | { readonly kind: 'key-file'; readonly path: string }
    /** No key is in a file. */
    | { readonly kind: 'none' };
  /** Whether the root's key is elsewhere, to sign intermediates by requests that are carried to it. */
  readonly isRootOffline?: boolean;
  /** Absent: the file `ledger.db` beside it. */
  readonly ledger?: LedgerOfState;
  /** RFC 3339. */
  readonly createdAt: string;
}

const format = 'countersign-state';

export function formatStateManifest(manifest: Omit<StateManifest, 'format' | 'version'>): string {
  return `${JSON.stringify({ format, version: 1, ...manifest }, undefined, 2)}\n`;
}

/** @throws CountersignError ERR_STATE_MISSING, ERR_STATE_ACCESS, ERR_STATE_BROKEN */
export async function readStateManifest(directory: string): Promise<StateManifest> {
  const { manifest: file } = stateLayout(directory);
  const text = await readFile(file, 'utf8').catch(async (thrown: unknown) => {
    const waits = await readFile(stateLayout(directory).pending).then(
      () => true,
      () => false,
    );
    if (waits) {
      const message = `open the authority in "${directory}": its init waits for the offline root to sign`;
      throw new CountersignError('ERR_CEREMONY_PENDING', message, { fields: { directory } });
    }
    if (isRefusedAccess(thrown)) {
      throw await accessRefused(file, `open the authority in "${directory}"`, thrown);
    }
    throw new CountersignError(
      'ERR_STATE_MISSING',
      `open the authority in "${directory}": there is no state.json`,
      { fields: { directory }, cause: thrown },
    );
  });
  return parseStateManifest(text, file);
}

/** Where the key file of a state stands, or undefined for one that has none. */
export function keyFileOf(
  manifest: Pick<StateManifest, 'seal'>,
  directory: string,
): string | undefined {
  if (manifest.seal.kind !== 'key-file') return undefined;
  const { path } = manifest.seal;
  return isAbsolute(path) ? path : resolve(directory, path);
}

function parseStateManifest(text: string, file: string): StateManifest {
  try {
    const json = JSON.parse(text);
    if (json?.format !== format) throw new TypeError('it is no state of countersign');
    if (json.version !== 1) {
      throw new TypeError(`it has version ${json.version}, this program reads version 1`);
    }
    const { trustDomain, rootFingerprint, intermediates, seal, ledger, isRootOffline } = json;
    const isWhole =
      typeof trustDomain === 'string' &&
      /^[0-9a-f]{64}$/.test(rootFingerprint) &&
      Array.isArray(intermediates) &&
      intermediates.every((name) => /^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) &&
      (isRootOffline === undefined || typeof isRootOffline === 'boolean') &&
      (ledger === undefined || typeof ledger?.postgres === 'string') &&
      (seal?.kind === 'passphrase' ||
        seal?.kind === 'none' ||
        (seal?.kind === 'key-file' && typeof seal.path === 'string'));
    if (!isWhole) throw new TypeError('a member is missing or malformed');
    return json;
  } catch (thrown) {
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
