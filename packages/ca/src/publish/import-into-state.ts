import type { Clock, Denial, Log } from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import { decideNoted } from '../ledger/decide-noted.ts';
import { openStateLedger } from '../ledger/open-state-ledger.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { readStateCertificates } from '../state-certificates.ts';
import { readStateManifest } from '../state-layout.ts';
import { type ImportedList, importList } from './imported-list.ts';

/**
 * Takes over a list of an offline root in a data directory that nobody serves. No key is opened for it: the list was
 * signed elsewhere.
 *
 * Denials: ERR_PUBLISH_IMPORT.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_DER_*, and those of the ledger
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
  const { isRootOffline } = await readStateManifest(data);
  const { root: certificate } = await readStateCertificates(data);
  const away = isRootOffline === true ? [{ name: 'root', certificate, signer: undefined }] : [];
  const ledger = await openStateLedger(options);
  try {
    const question = { asked: 'import', subject: 'revocation list', by: 'operator' } as const;
    const parts = { issuers: away, ledger, clock, by: 'operator' };
    return await decideNoted(ledger, question, () => importList(list, parts));
  } finally {
    await ledger.close();
  }
}
