import { dirname, resolve } from 'node:path';
import { CountersignError, type Log } from '@countersign/base';
import type { WrittenIssuer } from '@countersign/config';
import { type LiveSource, renewOverMtls, startRotation } from '@countersign/identity';
import type { Cli } from '../cli.ts';
import { openIssuer } from '../issuers/open-issuer.ts';
import { type OwnIdentityOptions, obtainIdentity, takeOver } from './obtain-identity.ts';
import type { PrometheusMeter } from './prometheus-meter.ts';

/** Who an edge is, whoever signs for it, kept fresh. */
export interface EdgeIdentity {
  readonly live: LiveSource;
  /** Our authority; undefined where it is somebody else's. */
  readonly url: string | undefined;
  /** Takes over what somebody has put into its files since. */
  refresh(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws CountersignError ERR_USAGE, ERR_ISSUER_*, and what obtaining an identity of ours throws */
export async function openEdgeIdentity(
  options: OwnIdentityOptions & { readonly config: string },
  written: { readonly ca?: string | undefined; readonly issuer?: WrittenIssuer | undefined },
  tools: { readonly cli: Cli; readonly log: Log; readonly meter: PrometheusMeter },
): Promise<EdgeIdentity> {
  const { cli, log, meter } = tools;
  const { clock } = cli;
  const { issuer } = written;
  if (issuer !== undefined) {
    for (const key of ['ca', 'token'] as const) {
      if (options[key] === undefined) continue;
      const message = `${options.who}: --${key} is given, and the file has an issuer`;
      throw new CountersignError('ERR_USAGE', message);
    }
    if (options.proofKey !== undefined) {
      const message = `${options.who}: --proof-key is given, and the file has an issuer`;
      throw new CountersignError('ERR_USAGE', message);
    }
    const directory = resolve(dirname(options.config));
    const kept = options.identity;
    const { live, stop } = await openIssuer(issuer, { cli, directory, kept, clock, log, meter });
    return { live, url: undefined, refresh: async () => {}, stop };
  }
  const { proofKey } = options;
  const ca = options.ca ?? written.ca;
  const { identity, url } = await obtainIdentity({ ...options, ca }, { clock, log });
  const live = startRotation({
    identity,
    renew: renewOverMtls({ url, clock, ...(proofKey !== undefined && { proofKey }) }),
    ...(options.identity !== undefined && { directory: options.identity }),
    ...{ clock, log, meter },
  });
  return {
    ...{ live, url, stop: () => live.stop() },
    refresh: () => takeOver(live, options.identity),
  };
}
