import { readFile, rm } from 'node:fs/promises';
import {
  type Clock,
  CountersignError,
  equalBytes,
  fromHex,
  type Log,
  messageOf,
  type Secret,
  writeFileDurably,
} from '@countersign/base';
import {
  type Certificate,
  certificatesFromPem,
  encodePem,
  fingerprintOf,
  signatureAlgorithmOf,
  validatePath,
} from '@countersign/x509';
import { type CaConfig, parseCaConfig } from '../ca-config.ts';
import { checkPair } from '../check-pair.ts';
import { type AuthorityKey, type AuthorityPair, draftBelow, makeLevels } from '../hierarchy.ts';
import type { Initialised } from '../init-authority.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { lintDraft } from '../linted-draft.ts';
import { openStateSealer } from '../open-sealer.ts';
import { parseKeyDescription } from '../signers/key-reference.ts';
import { type KeyStores, openKeyStores } from '../signers/key-stores.ts';
import { noSecretPlaces, type SecretPlaces } from '../signers/secret-source.ts';
import { formatStateManifest, type StateLayout, stateLayout } from '../state-layout.ts';
import { type PendingRequest, readPendingState } from './pending-state.ts';

export interface CompleteInitOptions {
  /** The data directory that `initOffline` made. */
  readonly data: string;
  /** PEM that was carried back, each with the name of its file for messages. */
  readonly signed: readonly { readonly file: string; readonly pem: string }[];
  readonly passphrase?: Secret<string> | undefined;
  readonly keyFile?: string | undefined;
  readonly secrets?: SecretPlaces | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The second half of an authority whose root is offline: takes the certificates that it signed, makes what is below
 * them, and the data directory is one. May be repeated should it fail.
 *
 * @throws CountersignError ERR_CEREMONY_PENDING, ERR_CEREMONY_REQUEST, ERR_STATE_*, ERR_KEY_*, ERR_SIGNER_*, ERR_LEDGER_*
 */
export async function completeInit(options: CompleteInitOptions): Promise<Initialised> {
  const { data, clock, log, secrets = noSecretPlaces } = options;
  const layout = stateLayout(data);

  // 1. What waits, and which certificate is for which.
  const pending = await readPendingState(data);
  if (pending === undefined) {
    const message = `complete the init in "${data}": nothing there waits for an offline root`;
    throw new CountersignError('ERR_CEREMONY_PENDING', message);
  }
  const config = parseCaConfig(await textOf(layout.config), layout.config);
  const [root] = certificatesFromPem(await textOf(layout.rootCertificate));
  if (root === undefined || fingerprintOf(root) !== pending.rootFingerprint) {
    throw new CountersignError('ERR_STATE_BROKEN', `"${layout.rootCertificate}" is another root`);
  }
  const { trustDomain } = pending;
  const certificates = new Map<string, Certificate>();
  const serials = new Set(pending.requests.map(({ serialHex }) => serialHex));
  const context = { config, root, layout, serials };
  for (const request of pending.requests) {
    certificates.set(request.name, await signedFor(request, options.signed, context));
  }

  // 2. Keys and ledger.
  const seal = { manifest: pending, config, ...options, secrets };
  const sealer = await openStateSealer(seal);
  const stores = openKeyStores({ trustDomain, sealer, secrets, clock, log });
  let ledger: Ledger | undefined;
  try {
    ledger = await openLedger({
      config: config.ledger,
      state: pending.ledger,
      file: layout.ledger,
      secrets,
      clock,
      log,
    });
    const keys = await openKeys(config, layout, stores);

    // 3. Issued: from here on the ledger has them.
    const made = new Map<string, AuthorityPair>();
    for (const { name, intent, serialHex } of pending.requests) {
      const certificate = certificates.get(name);
      const key = keys.get(name);
      if (certificate === undefined || key === undefined) throw new TypeError(`a pair "${name}"`);
      checkPair({ name }, key.key.publicKey, certificate);
      const known = await ledger.certificate(serialHex);
      if (known === undefined) await ledger.issued({ intent, serialHex, der: certificate.raw });
      made.set(name, { ...key, certificate });
    }

    // 4. What is below them, signed here; then the files, the manifest last.
    const all = await makeLevels(made, keys, { config, ledger, clock });
    for (const { name, certificate } of all) {
      const pem = encodePem('CERTIFICATE', certificate.raw);
      await writeFileDurably(layout.intermediateCertificate(name), pem);
    }
    const { rootFingerprint, createdAt, ledger: state } = pending;
    const intermediates = config.intermediates.map(({ name }) => name);
    const manifest = { trustDomain, rootFingerprint, intermediates, seal: pending.seal, createdAt };
    const more = { isRootOffline: true, ...(state === undefined ? {} : { ledger: state }) };
    await writeFileDurably(layout.manifest, formatStateManifest({ ...manifest, ...more }));
    await rm(layout.pending, { force: true });
    // Nobody carries and signs them once more.
    for (const { name } of pending.requests) await rm(layout.request(name), { force: true });
    log.info(
      { data, rootFingerprint, intermediates },
      'authority initialised, its root is offline',
    );
    return { rootFingerprint, keyFile: undefined, intermediates };
  } finally {
    await ledger?.close();
    await stores.close();
  }
}

interface SignedContext {
  readonly config: CaConfig;
  readonly root: Certificate;
  readonly layout: StateLayout;
  /** Of everything that waits. */
  readonly serials: ReadonlySet<string>;
}

/** The certificate of a request among those carried back: exactly what was asked for, and signed by the root. */
async function signedFor(
  request: PendingRequest,
  signed: CompleteInitOptions['signed'],
  { config, root, layout, serials }: SignedContext,
): Promise<Certificate> {
  const { name, serialHex, notBefore, notAfter } = request;
  const all = signed.flatMap(({ file, pem }) =>
    certificatesOf(pem, file).map((certificate) => ({ file, certificate })),
  );
  const found = all.find(({ certificate }) => certificate.serialHex === serialHex);
  if (found === undefined) {
    const others = all
      .filter(({ certificate }) => !serials.has(certificate.serialHex))
      .map(
        (each) =>
          `; "${each.file}" has serial "${each.certificate.serialHex}", which none waits for`,
      );
    const message = `complete the init: no certificate for "${layout.request(name)}" is among those given`;
    throw new CountersignError('ERR_CEREMONY_PENDING', `${message}${others.join('')}`, {
      fields: { name, serialHex },
    });
  }
  const { file, certificate } = found;
  const refuse = (wrong: string) =>
    new CountersignError(
      'ERR_CEREMONY_REQUEST',
      `certificate in "${file}" for "${name}" ${wrong}`,
      {
        fields: { file, name },
      },
    );
  const path = validatePath({
    leaf: certificate,
    intermediates: [],
    anchors: [root],
    at: Math.max(certificate.notBefore, root.notBefore),
  });
  if (!path.ok) throw refuse(`does not lead to the root: ${path.detail}`);
  const intermediate = config.intermediates.find((each) => each.name === name);
  const algorithm = signatureAlgorithmOf(certificate.signatureAlgorithm);
  if (intermediate === undefined || algorithm === undefined) throw refuse('is of no use here');
  const { trustDomain } = config;
  const facts = { trustDomain, spki: certificate.spki, notBefore, notAfter };
  const issuer = { name: 'root', certificate: root, links: [] };
  const draft = draftBelow(intermediate, facts, issuer, config);
  const expected = lintDraft(draft, algorithm).spend(fromHex(serialHex) ?? new Uint8Array());
  if (!equalBytes(expected, certificate.tbs)) throw refuse('is not the one that was asked for');
  return certificate;
}

function certificatesOf(pem: string, file: string): Certificate[] {
  try {
    return certificatesFromPem(pem);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const message = `read the certificate in "${file}": ${thrown.message}`;
    const { code, fields } = thrown;
    throw new CountersignError(code, message, { fields, cause: thrown, exit: 2 });
  }
}

async function openKeys(
  config: CaConfig,
  layout: StateLayout,
  stores: KeyStores,
): Promise<ReadonlyMap<string, AuthorityKey>> {
  const keys = new Map<string, AuthorityKey>();
  for (const { name, storage } of config.intermediates) {
    const file = layout.intermediateKey(name);
    const key = parseKeyDescription(await textOf(file), file);
    keys.set(name, { name, key, signer: await stores.open(storage, key) });
  }
  return keys;
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
