import type { Clock, Log } from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Sealer } from '../sealed-key.ts';
import { sealedFileStore } from '../signers/sealed-file-store.ts';
import type { StateLayout } from '../state-layout.ts';
import { openKeyFile } from '../unseal-secret.ts';
import { JwtKeys } from './jwt-keys.ts';

/**
 * The keys for JWT-SVIDs of a data directory, where ca.yaml has a section for them; sealed with what seals the keys of
 * the hierarchy or, where these are all in tokens, with the key file of the issuance log, which is there by then.
 *
 * @throws CountersignError ERR_STATE_BROKEN, ERR_KEY_*, those of the ledger
 */
export async function openJwtKeys(options: {
  readonly config: CaConfig;
  readonly layout: StateLayout;
  readonly sealer: Sealer | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<JwtKeys | undefined> {
  const { config, layout, sealer, ledger, clock, log } = options;
  if (config.jwt === undefined) return undefined;
  const store = sealedFileStore(sealer ?? (await openKeyFile(layout.logUnsealKey, log)));
  return JwtKeys.open({ config: config.jwt, ledger, store, file: layout.jwtKeys, clock, log });
}
