import { access, readFile } from 'node:fs/promises';
import { CountersignError, equalBytes, noLog } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import { checkPair } from './check-pair.ts';
import { proveJwtKeysFile } from './jwt/jwt-keys.ts';
import type { Ledger } from './ledger/ledger.ts';
import { keyPath, logDirectory } from './log/log-files.ts';
import { strangersTo } from './rotation/hierarchy-in-force.ts';
import { proveRotation } from './rotation/prove-rotation.ts';
import { readCopy } from './rotation/rotation-keeper.ts';
import { parseKeyDescription } from './signers/key-reference.ts';
import { checkStateConfig, type StateCertificates } from './state-config.ts';
import { readKey, readMadeCertificates } from './state-files.ts';
import { readStateManifest, type StateManifest, stateLayout } from './state-layout.ts';

/**
 * Why an authority on these files could not start, as far as it can be told without opening a key: certificates, public
 * keys and configuration compared with each other, as the start does. Empty where they fit.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_ACCESS, ERR_STATE_BROKEN where there is no `state.json` to go by
 */
export async function stateFaults(config: CaConfig, data: string): Promise<readonly string[]> {
  const layout = stateLayout(data);
  const manifest = await readStateManifest(data);
  const faults: string[] = [];
  const look = async <T>(work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      faults.push(thrown.message);
      return undefined;
    }
  };

  // 1. the certificates, and whether they are those of the configuration
  const made = await look(() => readMadeCertificates(layout, manifest));
  if (made !== undefined) {
    await look(() => checkStateConfig(config, manifest, made, noLog));
    // 2. the key of each
    await keysOf(made);
  }
  // 3. what was replaced since
  await look(() => proveCopy(config, manifest, layout.hierarchy));
  // 4. the issuance log goes on by the key that it began with
  await look(() => proveLogKey(config, data));
  // 5. the keys for JWT-SVIDs, where there are any
  if (config.jwt !== undefined) await look(() => proveJwtKeysFile(layout.jwtKeys));
  return faults;

  async function keysOf({ root, intermediates }: StateCertificates): Promise<void> {
    if (manifest.isRootOffline !== true) {
      await look(() => readKey(layout.rootKey, { ...config.root, name: 'root' }, root));
    }
    for (const each of config.intermediates) {
      const certificate = intermediates.get(each.name);
      if (certificate === undefined) continue;
      await look(() => readKey(layout.intermediateKey(each.name), each, certificate));
    }
  }
}

/**
 * Init orders the hierarchy in the ledger: one that lacks it is another's, or begun anew, and knows no revocation.
 *
 * @throws CountersignError ERR_STATE_BROKEN
 */
export async function proveLedgerKnows(
  ledger: Pick<Ledger, 'certificate'>,
  certificates: readonly Certificate[],
): Promise<void> {
  for (const { serialHex, raw } of certificates) {
    const record = await ledger.certificate(serialHex);
    if (record !== undefined && equalBytes(record.der, raw)) continue;
    const message = `ledger does not know serial "${serialHex}" of the authority itself: it is not this authority's`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: { serial: serialHex } });
  }
}

async function proveCopy(config: CaConfig, manifest: StateManifest, file: string): Promise<void> {
  const copy = await readCopy(file);
  if (copy === undefined) return;
  const { document } = copy;
  proveRotation(document, manifest.rootFingerprint);
  const [stranger] = strangersTo(config, document);
  if (stranger !== undefined) {
    const message = `"${file}" has "${stranger}", "${config.file}" does not`;
    throw new CountersignError('ERR_STATE_CONFIG', message, { fields: { stranger } });
  }
  for (const { key, certificates } of document.generations) {
    const [first] = certificates;
    if (key !== undefined && first !== undefined) {
      checkPair(key, key.publicKey, first.certificate);
    }
  }
}

/** The log's origin names the key: another key is another log, which the files of this one do not follow. */
async function proveLogKey({ trustDomain }: CaConfig, data: string): Promise<void> {
  const { log, logKey: file } = stateLayout(data);
  const known = await logDirectory(log).read(keyPath);
  if (known === undefined) return;
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  const expected = new TextDecoder().decode(known).split('+')[0];
  if (!isThere) {
    const message = `"${file}" is missing, the issuance log beside it is "${expected}"`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: { file } });
  }
  const { publicKey } = parseKeyDescription(await readFile(file, 'utf8'), file);
  const found = `${trustDomain}/log/${publicKey.slice(0, 8)}`;
  if (found === expected) return;
  const message = `key in "${file}" is of log "${found}", the issuance log beside it is "${expected}"`;
  throw new CountersignError('ERR_STATE_BROKEN', message, { fields: { found, expected } });
}
