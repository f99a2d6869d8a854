import { type Clock, type Log, type Meter, noLog, noMeter } from '@countersign/base';
import { Authority } from './authority.ts';
import type { CaConfig } from './ca-config.ts';
import { createHierarchy } from './hierarchy.ts';
import { makeIssuers } from './issuer.ts';
import type { Ledger } from './ledger/ledger.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { openKeyLists } from './requests/key-lists.ts';
import { memoryKeyStores } from './signers/key-stores.ts';

export interface EphemeralOptions {
  readonly config: CaConfig;
  readonly clock: Clock;
  /** Default: in memory. */
  readonly ledger?: Ledger | undefined;
  readonly log?: Log | undefined;
  readonly meter?: Meter | undefined;
}

/** A whole authority that leaves nothing behind: for tests, and for what lives as long as its process. */
export async function ephemeralAuthority(options: EphemeralOptions): Promise<Authority> {
  const { config, clock, log = noLog, meter = noMeter } = options;
  const ledger = options.ledger ?? memoryLedger({ clock });
  const { root, intermediates } = await createHierarchy({
    config,
    ledger,
    stores: memoryKeyStores(),
    clock,
  });
  const issuers = makeIssuers(intermediates, root.certificate, config);
  return new Authority({
    config,
    root: root.certificate,
    rootSigner: async () => root.signer,
    issuers,
    ledger,
    keyLists: await openKeyLists(config.requests, { clock, log }),
    orphans: 0,
    clock,
    log,
    meter,
  });
}
