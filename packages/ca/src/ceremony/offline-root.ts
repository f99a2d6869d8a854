import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Log,
  messageOf,
  type Secret,
  writeFileDurably,
} from '@countersign/base';
import {
  type Certificate,
  certificateRequestFromPem,
  certificatesFromPem,
  encodePem,
  fingerprintOf,
  type Signer,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import { type CaConfig, parseCaConfig } from '../ca-config.ts';
import { checkPair } from '../check-pair.ts';
import { parseKeyDescription } from '../signers/key-reference.ts';
import { type KeyStores, openKeyStores } from '../signers/key-stores.ts';
import { noSecretPlaces, type SecretPlaces, secretReader } from '../signers/secret-source.ts';
import { keyFileName, type StateManifest } from '../state-layout.ts';
import { openKeyFile, sealerOfPassphrase } from '../unseal-secret.ts';

/**
 * What stands in the directory of an offline root (mode 0700), to be kept away from every network:
 *
 * ```
 * root.json        what this is; written last by init
 * root.csr         in the place of root.pem: a root whose own certificate is not signed yet
 * root.pem         the trust anchor
 * root.key.json    its key, sealed, or where it is (0600)
 * unseal.key       opens the sealed key (0600), unless init was given a passphrase for it
 * ca.yaml          what the root is going to sign: requests are held to it
 * ceremony.jsonl   what was done with the key, an entry a line
 * ```
 */
export function offlineRootLayout(directory: string) {
  return {
    manifest: join(directory, 'root.json'),
    certificate: join(directory, 'root.pem'),
    request: join(directory, 'root.csr'),
    key: join(directory, 'root.key.json'),
    keyFile: join(directory, keyFileName),
    config: join(directory, 'ca.yaml'),
    ceremony: join(directory, 'ceremony.jsonl'),
  };
}

export interface OfflineRootManifest {
  readonly trustDomain: string;
  /** SHA-256 of the root's DER, lowercase hex; absent until its own certificate is signed. */
  readonly rootFingerprint?: string;
  readonly seal: StateManifest['seal'];
  /** RFC 3339. */
  readonly createdAt: string;
}

const format = 'countersign-offline-root';

export function formatOfflineRoot(manifest: OfflineRootManifest): string {
  return `${JSON.stringify({ format, version: 1, ...manifest }, undefined, 2)}\n`;
}

export interface OfflineRootOptions {
  readonly directory: string;
  readonly passphrase?: Secret<string> | undefined;
  readonly keyFile?: string | undefined;
  readonly secrets?: SecretPlaces | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OfflineRoot {
  readonly directory: string;
  readonly config: CaConfig;
  readonly spki: SubjectPublicKeyInfo;
  /** Undefined until it is signed, by itself. */
  readonly certificate: Certificate | undefined;
  /** Path of the record. */
  readonly ceremony: string;
  /** Opens the key: asked for only once everything else is judged. */
  openSigner(): Promise<Signer>;
  /** Its own certificate was signed. May be repeated; durable when it resolves. */
  take(certificate: Certificate): Promise<void>;
  close(): Promise<void>;
}

/** @throws CountersignError ERR_CEREMONY_ROOT, ERR_KEY_*, ERR_SIGNER_*, ConfigError of its ca.yaml */
export async function openOfflineRoot(options: OfflineRootOptions): Promise<OfflineRoot> {
  const { directory, clock, log, secrets = noSecretPlaces } = options;
  const layout = offlineRootLayout(directory);
  const manifest = await readManifest(layout.manifest, directory);
  const config = parseCaConfig(await text(layout.config), layout.config);
  const { rootFingerprint } = manifest;
  const certificate =
    rootFingerprint === undefined
      ? undefined
      : certificatesFromPem(await text(layout.certificate)).find(
          (each) => fingerprintOf(each) === rootFingerprint,
        );
  if (certificate === undefined && rootFingerprint !== undefined) {
    throw broken(directory, `root.pem is not the root of "${rootFingerprint}"`);
  }
  const { spki } = certificate ?? certificateRequestFromPem(await text(layout.request));
  const description = parseKeyDescription(await text(layout.key), layout.key);
  checkPair(description, description.publicKey, { spki });
  let stores: KeyStores | undefined;
  return {
    directory,
    config,
    spki,
    certificate,
    ceremony: layout.ceremony,
    async openSigner() {
      const sealer = await openSealer(options, manifest);
      const { trustDomain } = config;
      stores ??= openKeyStores({ trustDomain, sealer, secrets, clock, log });
      const signer = await stores.open(config.root.storage, description);
      checkPair(description, hash('sha256', signer.spki.raw), { spki });
      return signer;
    },
    async take(own) {
      await writeFileDurably(layout.certificate, encodePem('CERTIFICATE', own.raw));
      const known = { ...manifest, rootFingerprint: fingerprintOf(own) };
      await writeFileDurably(layout.manifest, formatOfflineRoot(known));
    },
    close: async () => stores?.close(),
  };
}

/** @throws CountersignError ERR_CEREMONY_ROOT where its own certificate is not signed yet */
export function certificateOf({ certificate, directory }: OfflineRoot): Certificate {
  if (certificate !== undefined) return certificate;
  throw broken(directory, 'its own certificate is not signed yet: sign that request first');
}

async function openSealer(options: OfflineRootOptions, { seal }: OfflineRootManifest) {
  const { directory, passphrase, log, secrets = noSecretPlaces } = options;
  if (seal.kind === 'none') return undefined;
  if (seal.kind === 'key-file') {
    const place = isAbsolute(seal.path) ? seal.path : resolve(directory, seal.path);
    return openKeyFile(options.keyFile ?? place, log);
  }
  const ask = secrets.prompt && secretReader({ from: 'prompt' }, secrets, 'passphrase of the root');
  const given = passphrase ?? (await ask?.());
  if (given !== undefined) return sealerOfPassphrase(given);
  const message = `open the root in "${directory}": it is sealed with a passphrase, none is given`;
  throw new CountersignError('ERR_KEY_SEALED', message, { fields: { directory } });
}

async function readManifest(file: string, directory: string): Promise<OfflineRootManifest> {
  const written = await text(file);
  try {
    const json = JSON.parse(written);
    if (json?.format === format && json.version === 1 && typeof json.seal?.kind === 'string') {
      return json;
    }
  } catch {
    // What it is not is said below.
  }
  throw broken(directory, 'root.json is none of a countersign root');
}

async function text(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    const message = `read "${file}" of the offline root: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_CEREMONY_ROOT', message, { fields: { file }, cause: thrown });
  }
}

function broken(directory: string, wrong: string): CountersignError {
  const message = `open the offline root in "${directory}": ${wrong}`;
  return new CountersignError('ERR_CEREMONY_ROOT', message, { fields: { directory } });
}
