import type { RequestListener } from 'node:http';
import type { Clock, Log } from '@countersign/base';
import { openTrialAuthority, type TrialAuthority } from '@countersign/ca';
import { managementOf } from './management.ts';
import { pebbleAcme, pebbleHierarchies } from './pebble-authority.ts';
import type { PebbleConfig } from './pebble-config.ts';
import type { PebbleEnvironment } from './pebble-environment.ts';
import type { PebbleFlags } from './pebble-flags.ts';
import { RenewalInfoOverrides } from './renewal-info-overrides.ts';

export interface Opened {
  readonly authority: TrialAuthority;
  readonly answers: Readonly<Record<'acme' | 'management', RequestListener>>;
}

/** What stands behind the doors. @throws CountersignError ERR_CONFIG_VALUE, ERR_USAGE */
export async function openPebble({
  config,
  environment,
  flags,
  clock,
  log,
}: {
  readonly config: PebbleConfig;
  readonly environment: PebbleEnvironment;
  readonly flags: PebbleFlags;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Opened> {
  const authority = await openTrialAuthority({
    hierarchies: pebbleHierarchies(config, environment),
    acme: await pebbleAcme(config, environment, flags),
    ocspUrl: config.ocspResponderURL,
    clock,
    log,
  });
  const renewalInfo = new RenewalInfoOverrides();
  return {
    authority,
    answers: {
      acme(request, response) {
        if (renewalInfo.answer(request, response)) return;
        void authority.edge.answer(request, response);
      },
      management: managementOf({ ...authority, renewalInfo }),
    },
  };
}
