import { hash, verify } from 'node:crypto';
import { type Clock, CountersignError, type Log, type Meter, type Secret } from '@countersign/base';
import { type Certificate, publicKeyOf, type Signer, validatePath } from '@countersign/x509';
import { Authority } from './authority.ts';
import type { AuthorityCertificateConfig, CaConfig } from './ca-config.ts';
import { checkPair } from './check-pair.ts';
import { type Issuer, makeIssuers } from './issuer.ts';
import { openJwtKeys } from './jwt/open-jwt-keys.ts';
import type { Ledger } from './ledger/ledger.ts';
import { openLedger } from './ledger/open-ledger.ts';
import { IssuanceLog } from './log/issuance-log.ts';
import { logDirectory } from './log/log-files.ts';
import { openLogKey } from './log/log-key.ts';
import { openStateSealer } from './open-sealer.ts';
import { openKeyLists } from './requests/key-lists.ts';
import { openRotation } from './rotation/open-rotation.ts';
import type { KeyDescription } from './signers/key-store.ts';
import { type KeyStores, openKeyStores } from './signers/key-stores.ts';
import { noSecretPlaces, type SecretPlaces } from './signers/secret-source.ts';
import { watchKeyStores } from './signers/watch-key-stores.ts';
import { mustBeOpenToUs } from './state-access.ts';
import { checkStateConfig } from './state-config.ts';
import { proveLedgerKnows } from './state-faults.ts';
import { readKey, readMadeCertificates } from './state-files.ts';
import { readStateManifest, stateLayout } from './state-layout.ts';

export interface OpenOptions {
  readonly config: CaConfig;
  /** The data directory that `initAuthority` made. */
  readonly data: string;
  /** Needed where init was given one, unless the configuration says where it is (`seal`). */
  readonly passphrase?: Secret<string> | undefined;
  /** Where the key file stands now, if no longer where init put it. */
  readonly keyFile?: string | undefined;
  /** Where PINs and passphrases come from that the configuration points at. Default: files alone. */
  readonly secrets?: SecretPlaces | undefined;
  /** Another ledger than the directory's own, which need not know its hierarchy; it is closed with the authority. */
  readonly ledger?: Ledger | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/**
 * Opens an authority: everything is proved to fit together before the first request. The root's key
 * stays where it is, until there is a list to sign with it.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_ACCESS, ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_KEY_SEALED,
 *   ERR_KEY_FILE, ERR_SIGNER_*, ERR_LEDGER_LOCKED and the others of the ledger
 */
export async function openAuthority(options: OpenOptions): Promise<Authority> {
  const { config, data, clock, log, meter } = options;
  const layout = stateLayout(data);

  // 1. What is there, and whether it is what the configuration describes.
  const manifest = await readStateManifest(data);
  const attempted = `open the authority in "${data}"`;
  await mustBeOpenToUs(layout.intermediates, attempted, 'read');
  if (manifest.ledger === undefined) await mustBeOpenToUs(layout.ledger, attempted);
  const { root, intermediates } = await readMadeCertificates(layout, manifest);
  checkStateConfig(config, manifest, { root, intermediates }, log);
  const keyLists = await openKeyLists(config.requests, { clock, log });

  // 2. The keys fit their certificates, and each certificate the root.
  const { secrets = noSecretPlaces } = options;
  const rootKey =
    manifest.isRootOffline === true
      ? undefined
      : await readKey(layout.rootKey, { ...config.root, name: 'root' }, root);
  const sealer = await openStateSealer({ ...options, manifest, secrets });
  const { trustDomain } = config;
  const stores = openKeyStores({ trustDomain, sealer, secrets, clock, log });
  let ledger: Ledger | undefined;
  try {
    const signers = new Map<string, () => Promise<Signer>>();
    if (rootKey !== undefined) {
      signers.set('root', () => openSigner(rootKey, config.root, root, stores));
    }
    for (const each of config.intermediates) {
      const { name } = each;
      const certificate = intermediates.get(name);
      if (certificate === undefined) continue;
      const key = await readKey(layout.intermediateKey(name), each, certificate);
      signers.set(name, () => openSigner(key, each, certificate, stores));
    }

    // 3. The ledger, which of the keys are in force, and what a crash left.
    ledger =
      options.ledger ??
      (await openLedger({
        config: config.ledger,
        state: manifest.ledger,
        file: layout.ledger,
        secrets,
        clock,
        log,
        meter,
      }));
    await ledger.proveDocuments();
    const rotation = await openRotation({
      ...{ config, made: { root, intermediates }, signers, stores, ledger, clock, log },
      rootFingerprint: manifest.rootFingerprint,
      file: layout.hierarchy,
    });
    const { hierarchy } = rotation;
    const { pairs } = hierarchy;
    const issuers = makeIssuers(pairs, hierarchy.root, config);
    for (const issuer of issuers) {
      await proveIssuer(issuer, hierarchy.root);
      tellEnd(issuer.name, issuer.certificate, clock, log);
    }
    tellEnd('root', hierarchy.root, clock, log);
    if (options.ledger === undefined) {
      const own = [hierarchy.root, ...pairs.map((each) => each.certificate)];
      await proveLedgerKnows(ledger, own);
    }
    const orphans = await closeOrphans(ledger, log);

    // 4. The log of what was issued goes on behind it.
    const issuanceLog = await IssuanceLog.open({
      ledger,
      files: logDirectory(layout.log),
      key: await openLogKey(layout, trustDomain, sealer, log),
      clock,
      log,
      meter,
    });
    issuanceLog.start();
    const jwtKeys = await openJwtKeys({ config, layout, sealer, ledger, clock, log });
    const watch = watchKeyStores({ stores, clock, log, meter });
    const { finding, report } = watch;
    const keys = { finding, report, close: () => closeKeys() };
    const closeKeys = async () => {
      watch.stop();
      await stores.close();
    };
    const facts = { config, root: hierarchy.root, issuers, ledger, keyLists, orphans, keys };
    const more = { entriesFile: layout.entries, issuanceLog, jwtKeys, rotation, stores, sealer };
    return new Authority({ ...facts, ...more, clock, log, meter });
  } catch (thrown) {
    await ledger?.close();
    await stores.close();
    throw thrown;
  }
}

/**
 * Closes every intent without a certificate: a crash came between the two. Its serial is never used again; should its
 * certificate have been signed, nobody was given it.
 */
export async function closeOrphans(ledger: Ledger, log: Log): Promise<number> {
  let closed = 0;
  for (const { position, serialHex, spiffeId, at } of await ledger.orphans()) {
    if (!(await closeOrphan(ledger, position))) continue;
    closed += 1;
    const since = new Date(at).toISOString();
    log.warn({ position, serial: serialHex, spiffeId, since }, 'orphaned intent closed');
  }
  return closed;
}

async function closeOrphan(ledger: Ledger, position: number): Promise<boolean> {
  try {
    await ledger.abandoned(position, 'found open at start-up');
    return true;
  } catch (thrown) {
    // Another process over the same ledger was faster.
    if (thrown instanceof CountersignError && thrown.code === 'ERR_LEDGER_STATE') return false;
    throw thrown;
  }
}

/** The store proves that the key is the one of its description; here, that this is the certificate's. */
async function openSigner(
  key: KeyDescription,
  { storage }: AuthorityCertificateConfig,
  certificate: Certificate,
  stores: KeyStores,
): Promise<Signer> {
  const signer = await stores.open(storage, key);
  checkPair(key, hash('sha256', signer.spki.raw), certificate);
  return signer;
}

/** That the chain leads to the root, and the key makes signatures that the certificate verifies. */
async function proveIssuer(
  { name, certificate, signer, chain, notBefore: at }: Issuer,
  root: Certificate,
): Promise<void> {
  const intermediates = chain.slice(1);
  const path = validatePath({ leaf: certificate, intermediates, anchors: [root], at });
  if (!path.ok) {
    const message = `intermediate "${name}" does not lead to the root: ${path.detail}`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: path.fields });
  }
  const { algorithm } = signer;
  const key = publicKeyOf(certificate.spki);
  if (verify(algorithm.hash, probe, { key, ...algorithm.options }, await signer.sign(probe)))
    return;
  throw new CountersignError(
    'ERR_SIGNER',
    `key of "${name}" signs, its certificate does not verify`,
  );
}

/** No TBSCertificate begins like this, so its signature is good for nothing else. */
const probe = new TextEncoder().encode('countersign: does this key belong to this certificate?');

function tellEnd(name: string, { notAfter }: Certificate, clock: Clock, log: Log): void {
  if (notAfter > clock.now()) return;
  const ended = new Date(notAfter).toISOString();
  log.error(
    { certificate: name, ended },
    'certificate of the authority has ended, nothing can be issued under it',
  );
}
