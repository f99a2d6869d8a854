import { type Clock, type Log, type Meter, noLog, noMeter, Secret } from '@countersign/base';
import { fingerprintOf } from '@countersign/x509';
import { Authority } from './authority.ts';
import type { CaConfig } from './ca-config.ts';
import { createHierarchy } from './hierarchy.ts';
import { makeIssuers } from './issuer.ts';
import { JwtKeys } from './jwt/jwt-keys.ts';
import type { Ledger } from './ledger/ledger.ts';
import { memoryLedger } from './ledger/memory-ledger.ts';
import { randomOctets } from './ledger/random-octets.ts';
import { openKeyLists } from './requests/key-lists.ts';
import { openRotation } from './rotation/open-rotation.ts';
import { createSealer, keyFileScrypt } from './sealed-key.ts';
import { memoryKeyStores } from './signers/key-stores.ts';
import { memoryStore } from './signers/memory-store.ts';

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
  const stores = memoryKeyStores();
  const { root, intermediates } = await createHierarchy({ config, ledger, stores, clock });
  const issuers = makeIssuers(intermediates, root.certificate, config);
  const all = [root, ...intermediates];
  const rotation = await openRotation({
    ...{ config, stores, ledger, clock, log, file: undefined },
    made: {
      root: root.certificate,
      intermediates: new Map(intermediates.map((each) => [each.name, each.certificate])),
    },
    signers: new Map(all.map((each) => [each.name, async () => each.signer])),
    rootFingerprint: fingerprintOf(root.certificate),
  });
  return new Authority({
    config,
    root: root.certificate,
    issuers,
    rotation,
    stores,
    sealer: createSealer(new Secret(randomOctets(32)), keyFileScrypt),
    ledger,
    keyLists: await openKeyLists(config.requests, { clock, log }),
    jwtKeys:
      config.jwt === undefined
        ? undefined
        : await JwtKeys.open({
            ...{ config: config.jwt, ledger, store: memoryStore(), file: undefined, clock, log },
          }),
    orphans: 0,
    clock,
    log,
    meter,
  });
}
