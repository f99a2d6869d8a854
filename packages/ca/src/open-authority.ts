import { verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type Clock,
  CountersignError,
  type Log,
  type Meter,
  messageOf,
  type Secret,
} from '@countersign/base';
import {
  type Certificate,
  certificatesFromPem,
  fingerprintOf,
  keySigner,
  publicKeyOf,
  type Signer,
  validatePath,
} from '@countersign/x509';
import { Authority } from './authority.ts';
import type { CaConfig } from './ca-config.ts';
import { type Issuer, makeIssuer } from './issuer.ts';
import type { Ledger } from './ledger/ledger.ts';
import { openSqliteLedger } from './ledger/sqlite-ledger.ts';
import { checkPair, unsealPair } from './seal-pair.ts';
import { parseSealedKey, type SealedKey, type Sealer } from './sealed-key.ts';
import { checkStateConfig } from './state-config.ts';
import {
  keyFileOf,
  readStateManifest,
  type StateLayout,
  type StateManifest,
  stateLayout,
} from './state-layout.ts';
import { openKeyFile, sealerOfPassphrase } from './unseal-secret.ts';

export interface OpenOptions {
  readonly config: CaConfig;
  /** The data directory that `initAuthority` made. */
  readonly data: string;
  /** Needed where init was given one. */
  readonly passphrase?: Secret<string> | undefined;
  /** Where the key file stands now, if no longer where init put it. */
  readonly keyFile?: string | undefined;
  /** Another ledger than the directory's own; it is closed with the authority. */
  readonly ledger?: Ledger | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/**
 * Opens an authority: everything is proved to fit together before the first request. The root's key stays sealed.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_KEY_SEALED, ERR_KEY_FILE,
 *   ERR_LEDGER_LOCKED and the others of the ledger
 */
export async function openAuthority(options: OpenOptions): Promise<Authority> {
  const { config, data, clock, log, meter } = options;
  const layout = stateLayout(data);

  // 1. What is there, and whether it is what the configuration describes.
  const manifest = await readStateManifest(data);
  const root = await readCertificate(layout.rootCertificate);
  checkRoot(root, manifest, layout);
  const intermediates = new Map<string, Certificate>();
  for (const name of manifest.intermediates) {
    intermediates.set(name, await readCertificate(layout.intermediateCertificate(name)));
  }
  checkStateConfig(config, manifest, { root, intermediates }, log);

  // 2. The keys fit their certificates, and each certificate the root.
  checkPairOf(await readSealed(layout.rootKey), 'root', root);
  const sealer = await openSealer(options, manifest);
  const issuers: Issuer[] = [];
  for (const { name } of config.intermediates) {
    const certificate = intermediates.get(name);
    if (certificate === undefined) continue;
    const signer = await openSigner(name, certificate, layout, sealer);
    await proveIssuer(name, certificate, root, signer);
    issuers.push(makeIssuer(name, { certificate, signer }, root, config.services));
    tellEnd(name, certificate, clock, log);
  }
  tellEnd('root', root, clock, log);

  // 3. The ledger, and what a crash left in it.
  const ledger =
    options.ledger ?? (await openSqliteLedger({ file: layout.ledger, clock, log, meter }));
  try {
    const orphans = await closeOrphans(ledger, log);
    return new Authority({ config, root, issuers, ledger, orphans, clock, log, meter });
  } catch (thrown) {
    await ledger.close();
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

async function readCertificate(file: string): Promise<Certificate> {
  const [certificate, more] = certificatesFromPem(await readState(file));
  if (certificate !== undefined && more === undefined) return certificate;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    `"${file}" does not hold exactly one certificate`,
    {
      fields: { file },
    },
  );
}

async function readSealed(file: string): Promise<SealedKey> {
  return parseSealedKey(await readState(file), file);
}

async function readState(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}

function checkRoot(root: Certificate, manifest: StateManifest, layout: StateLayout): void {
  const found = fingerprintOf(root);
  if (found === manifest.rootFingerprint) return;
  const sides = `has fingerprint "${found}", state.json says "${manifest.rootFingerprint}"`;
  throw new CountersignError('ERR_STATE_BROKEN', `"${layout.rootCertificate}" ${sides}`);
}

async function openSealer(options: OpenOptions, manifest: StateManifest): Promise<Sealer> {
  const { data, passphrase, log } = options;
  const place = options.keyFile ?? keyFileOf(manifest, data);
  if (manifest.seal.kind === 'passphrase') {
    if (passphrase !== undefined) return sealerOfPassphrase(passphrase);
    const message = `open the keys in "${data}": they are sealed with a passphrase, none is given`;
    throw new CountersignError('ERR_KEY_SEALED', message, { fields: { data } });
  }
  if (passphrase !== undefined) {
    const message = `open the keys in "${data}": they are sealed with the key file "${place}", a passphrase is given`;
    throw new CountersignError('ERR_KEY_SEALED', message, { fields: { data } });
  }
  return await openKeyFile(place ?? stateLayout(data).keyFile, log);
}

async function openSigner(
  name: string,
  certificate: Certificate,
  layout: StateLayout,
  sealer: Sealer,
): Promise<Signer> {
  const sealed = await readSealed(layout.intermediateKey(name));
  checkPairOf(sealed, name, certificate);
  return keySigner(await unsealPair(sealed, certificate, sealer));
}

function checkPairOf(sealed: SealedKey, name: string, certificate: Certificate): void {
  if (sealed.name !== name) {
    const sides = `says it is "${sealed.name}"`;
    throw new CountersignError('ERR_STATE_BROKEN', `sealed key of "${name}" ${sides}`);
  }
  checkPair(sealed, sealed.publicKey, certificate);
}

/** That the root vouches for the certificate, and the key makes signatures that the certificate verifies. */
async function proveIssuer(
  name: string,
  certificate: Certificate,
  root: Certificate,
  signer: Signer,
): Promise<void> {
  const at = Math.max(certificate.notBefore, root.notBefore);
  const path = validatePath({ leaf: certificate, intermediates: [], anchors: [root], at });
  if (!path.ok) {
    const message = `intermediate "${name}" does not lead to the root: ${path.detail}`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: path.fields });
  }
  const { hash, options } = signer.algorithm;
  const key = publicKeyOf(certificate.spki);
  if (verify(hash, probe, { key, ...options }, await signer.sign(probe))) return;
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
