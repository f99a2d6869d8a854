import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CountersignError, messageOf, type Secret, writeFileDurably } from '@countersign/base';
import { buildCertificateRequest, encodePem, fingerprintOf } from '@countersign/x509';
import {
  type AuthorityKey,
  type AuthorityPair,
  authorityFacts,
  draftBelow,
  type HierarchyContext,
  makeKeys,
  makeRoot,
  orderAuthority,
} from '../hierarchy.ts';
import type { InitOptions } from '../init-authority.ts';
import { makeStaging, placeFor, tellLeftovers } from '../init-place.ts';
import { checkKeyFilePlace, makeSealer } from '../init-seal.ts';
import { carriedProvisioner } from '../ledger/covers.ts';
import { openNewLedger } from '../ledger/open-ledger.ts';
import { createLogKey } from '../log/log-key.ts';
import { formatKeyDescription } from '../signers/key-reference.ts';
import { type KeyStores, openKeyStores } from '../signers/key-stores.ts';
import { noSecretPlaces } from '../signers/secret-source.ts';
import { stateLayout } from '../state-layout.ts';
import { formatCarriedRequest } from './carried-request.ts';
import { appendCeremony, type CeremonyRecord, recordOf } from './ceremony-record.ts';
import { formatOfflineRoot, offlineRootLayout } from './offline-root.ts';
import { formatPendingState, type PendingRequest } from './pending-state.ts';
import { carriedExtensions } from './sign-request.ts';

export interface InitOfflineOptions extends InitOptions {
  /** Where the root goes: missing, or empty. */
  readonly rootOut: string;
  /** Seals the root's key. Without it a key file is made beside it. */
  readonly rootPassphrase?: Secret<string> | undefined;
  /** Text of the configuration: both directories keep it. */
  readonly configText: string;
  /** Who takes part. */
  readonly by: readonly string[];
}

export interface InitialisedOffline {
  readonly rootFingerprint: string;
  /** Key files that were made: of the state, and of the root. */
  readonly keyFiles: readonly string[];
  /** Paths of the requests that the root is to sign. */
  readonly requests: readonly string[];
  readonly record: CeremonyRecord;
}

/**
 * The first half of an authority whose root is offline: the root with its key in a directory of its own, to be carried
 * away; in the data directory the keys of the intermediates, the ledger, and a request for each that the root signs.
 * `completeInit` is the other half. Both directories are made whole or not at all.
 *
 * @throws CountersignError as of `initAuthority`
 */
export async function initOffline(options: InitOfflineOptions): Promise<InitialisedOffline> {
  const { config, clock, log, secrets = noSecretPlaces } = options;
  const [data, rootOut] = [resolve(options.data), resolve(options.rootOut)];
  const { trustDomain } = config;

  // 1. Nothing is overwritten, the two are apart, and nobody is to certify a key that will not be here.
  if (config.issuedBy !== undefined) throw unsigned();
  if (`${rootOut}/`.startsWith(`${data}/`) || `${data}/`.startsWith(`${rootOut}/`)) {
    const sides = `the root is to be apart from "${data}", --root-out is "${rootOut}"`;
    throw new CountersignError('ERR_USAGE', sides);
  }
  const [place, rootPlace] = [
    await placeFor(data, 'init.json'),
    await placeFor(rootOut, 'root.json'),
  ];
  await tellLeftovers(data, log);
  await checkKeyFilePlace(options);
  const [staging, root] = [stateLayout(place.staging), offlineRootLayout(rootPlace.staging)];
  const open: KeyStores[] = [];
  let madeKeyFile: string | undefined;
  try {
    await makeStaging([staging.intermediates, staging.requests], data);
    await makeStaging([rootPlace.staging], rootOut);

    // 2. What seals the keys, each directory by itself.
    const ofState = { ...options, configured: config.seal, secrets };
    const sealed = await makeSealer(config.intermediates, ofState, {
      staging: place.staging,
      data,
    });
    madeKeyFile = options.keyFile === undefined ? undefined : sealed.keyFile;
    const ofRoot = { passphrase: options.rootPassphrase, configured: undefined, secrets };
    const rootSealed = await makeSealer([config.root], ofRoot, {
      staging: rootPlace.staging,
      data: rootOut,
    });
    const storesOf = (sealer: typeof sealed.sealer) => {
      const stores = openKeyStores({ trustDomain, sealer, secrets, clock, log });
      open.push(stores);
      return stores;
    };
    const [stateStores, rootStores] = [storesOf(sealed.sealer), storesOf(rootSealed.sealer)];

    // 3. Keys, the root's certificate, and a request for each intermediate below it, all through the ledger.
    const all = [{ ...config.root, name: 'root' }, ...config.intermediates];
    const keys = await makeKeys(all, (name) => (name === 'root' ? rootStores : stateStores));
    const { made, orders, state } = await makeRootAndOrders(keys, staging.ledger, options);

    // 4. The root's directory.
    const { certificate } = made;
    const rootFingerprint = fingerprintOf(certificate);
    const createdAt = new Date(clock.now()).toISOString();
    const rootPem = encodePem('CERTIFICATE', certificate.raw);
    const facts = { act: 'root made', by: options.by, trustDomain, at: clock.now() } as const;
    const record = recordOf({ ...facts, root: certificate, certificate });
    await writeFileDurably(root.config, options.configText);
    await writeFileDurably(root.certificate, rootPem);
    await writeFileDurably(root.key, formatKeyDescription(made.key), { mode: 0o600 });
    await appendCeremony(root.ceremony, { kind: 'act', record, certificate: rootPem });
    const manifest = { trustDomain, rootFingerprint, seal: rootSealed.seal, createdAt };
    await writeFileDurably(root.manifest, formatOfflineRoot(manifest));

    // 5. The data directory: what is missing are the certificates that the root is to sign.
    await writeFileDurably(staging.config, options.configText);
    await writeFileDurably(staging.rootCertificate, rootPem);
    for (const { name } of config.intermediates) {
      const key = keys.get(name);
      if (key === undefined) throw new TypeError(`a key for "${name}"`);
      const file = staging.intermediateKey(name);
      await writeFileDurably(file, formatKeyDescription(key.key), { mode: 0o600 });
    }
    for (const { request, name } of orders) {
      await writeFileDurably(staging.request(name), request);
    }
    await createLogKey(staging, sealed.sealer);
    const pending = {
      trustDomain,
      rootFingerprint,
      seal: sealed.seal,
      ...(state === undefined ? {} : { ledger: state }),
      createdAt,
      requests: orders.map(({ request: _, ...each }) => each),
    };
    await writeFileDurably(staging.pending, formatPendingState(pending));

    // 6. In place; the root first, since without it the rest is worth nothing.
    await rootPlace.commit();
    await place.commit();
    log.info({ data, rootOut, rootFingerprint }, 'root made offline, requests wait for it');
    return {
      rootFingerprint,
      keyFiles: [sealed.keyFile, rootSealed.keyFile].filter((each) => each !== undefined),
      requests: orders.map(({ name }) => stateLayout(data).request(name)),
      record,
    };
  } catch (thrown) {
    for (const stores of open) await stores.discardMade(log);
    await rm(place.staging, { recursive: true, force: true });
    await rm(rootPlace.staging, { recursive: true, force: true });
    if (madeKeyFile !== undefined) await rm(madeKeyFile, { force: true });
    if (thrown instanceof CountersignError) throw thrown;
    const message = `init an authority in "${data}", its root in "${rootOut}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_FILE', message, { fields: { data, rootOut }, cause: thrown });
  } finally {
    for (const stores of open) await stores.close();
  }
}

async function makeRootAndOrders(
  keys: ReadonlyMap<string, AuthorityKey>,
  file: string,
  { config, clock, log, secrets = noSecretPlaces }: InitOfflineOptions,
) {
  const options = { config: config.ledger, file, secrets, clock, log };
  const { ledger, state } = await openNewLedger(options);
  try {
    const context = { config, ledger, clock };
    const made = await makeRoot(keys, context);
    return { made, orders: await orderBelowRoot(made, keys, context), state };
  } finally {
    await ledger.close();
  }
}

async function orderBelowRoot(
  root: AuthorityPair,
  keys: ReadonlyMap<string, AuthorityKey>,
  context: HierarchyContext,
): Promise<(PendingRequest & { readonly request: string })[]> {
  const { config } = context;
  const orders: (PendingRequest & { readonly request: string })[] = [];
  for (const each of config.intermediates.filter(({ issuer }) => issuer === 'root')) {
    const { name } = each;
    const signer = keys.get(name)?.signer;
    if (signer === undefined) throw new TypeError(`a key for "${name}"`);
    const facts = authorityFacts(each, signer.spki, context);
    const issuer = { name: 'root', certificate: root.certificate, links: [] };
    const draft = draftBelow(each, facts, issuer, config);
    const { position, serialHex } = await orderAuthority(
      draft,
      'root',
      context,
      carriedProvisioner,
    );
    const { subject, notBefore, notAfter } = draft;
    const csr = await buildCertificateRequest({
      signer,
      subject,
      extensions: carriedExtensions(draft),
    });
    const order = { name, serialHex, notBefore, notAfter };
    orders.push({ ...order, intent: position, request: formatCarriedRequest({ ...order, csr }) });
  }
  return orders;
}

function unsigned(): CountersignError {
  const message =
    'make an offline root: ca.issued_by wants its key certified by another authority, and the key will not be here';
  const hint =
    'take "issued_by" out of ca.yaml; or keep the root here, in a file or a token: init without --offline-root';
  return new CountersignError('ERR_SUPERIOR_OFFLINE', message, { hint });
}
