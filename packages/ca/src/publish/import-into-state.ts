import type { Clock, Denial, Log } from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import { decideNoted } from '../ledger/decide-noted.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { openStateLedger } from '../ledger/open-state-ledger.ts';
import { rootName, selfSigned, signingOf } from '../rotation/hierarchy-view.ts';
import { proveRotation } from '../rotation/prove-rotation.ts';
import { ledgerNameOf, parseRotationDocument } from '../rotation/rotation-document.ts';
import { documentName, readCopy } from '../rotation/rotation-keeper.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { readStateCertificates } from '../state-certificates.ts';
import { readStateManifest, type StateManifest, stateLayout } from '../state-layout.ts';
import { type ImportedList, importList } from './imported-list.ts';
import type { PublishingIssuer } from './publishing-issuer.ts';

/**
 * Takes over a list of an offline root in a data directory that nobody serves. No key is opened for it: the list was
 * signed elsewhere.
 *
 * Denials: ERR_PUBLISH_IMPORT.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_ROTATION_PROOF, ERR_DER_*, and
 *   those of the ledger
 */
export async function importIntoState(options: {
  readonly list: Uint8Array;
  readonly config: CaConfig;
  readonly data: string;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<ImportedList | Denial> {
  const { list, data, clock } = options;
  const manifest = await readStateManifest(data);
  const ledger = await openStateLedger(options);
  try {
    const question = { asked: 'import', subject: 'revocation list', by: 'operator' } as const;
    const away = manifest.isRootOffline === true ? await rootsOf(data, manifest, ledger) : [];
    const parts = { issuers: away, ledger, clock, by: 'operator' };
    return await decideNoted(ledger, question, () => importList(list, parts));
  } finally {
    await ledger.close();
  }
}

/** Whoever was the root signs lists for as long as what it signed may be met: each of them, as its name in the ledger. */
async function rootsOf(
  data: string,
  { rootFingerprint }: StateManifest,
  ledger: Pick<Ledger, 'document'>,
): Promise<readonly PublishingIssuer[]> {
  const found = await ledger.document(documentName);
  const document =
    found === undefined
      ? (await readCopy(stateLayout(data).hierarchy))?.document
      : parseRotationDocument(found.body, 'the hierarchy in the ledger');
  if (document === undefined) {
    const { root: certificate } = await readStateCertificates(data);
    return [{ name: rootName, certificate, signer: undefined }];
  }
  proveRotation(document, rootFingerprint);
  return signingOf(document)
    .filter(({ name }) => name === rootName)
    .map((root) => ({
      name: ledgerNameOf(root),
      certificate: selfSigned(root),
      signer: undefined,
    }));
}
