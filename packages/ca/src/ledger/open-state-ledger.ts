import type { Clock, Log } from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import type { SecretPlaces } from '../signers/secret-source.ts';
import { mustBeOpenToUs } from '../state-access.ts';
import { readStateManifest, stateLayout } from '../state-layout.ts';
import type { Ledger } from './ledger.ts';
import { openLedger } from './open-ledger.ts';

/**
 * The ledger of a data directory alone, for audit and backup: no key is opened for it.
 *
 * @throws CountersignError ERR_STATE_MISSING, ERR_STATE_ACCESS, ERR_STATE_BROKEN, ERR_STATE_CONFIG, and those of the ledger
 */
export async function openStateLedger(options: {
  readonly config: CaConfig;
  readonly data: string;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Ledger> {
  const { config, data, secrets, clock, log } = options;
  const { ledger: state } = await readStateManifest(data);
  const file = stateLayout(data).ledger;
  if (state === undefined) await mustBeOpenToUs(file, `open the ledger of "${data}"`);
  return openLedger({ config: config.ledger, state, file, secrets, clock, log });
}
