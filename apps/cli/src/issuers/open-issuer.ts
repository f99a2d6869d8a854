import { dirname, resolve } from 'node:path';
import { CountersignError, type Meter, messageOf } from '@countersign/base';
import { issuerSchema, readConfigText, type WrittenIssuer } from '@countersign/config';
import {
  type FollowedIdentity,
  followWorkloadApi,
  type Identity,
  openFiles,
  openIssued,
  type RotatingIdentity,
  type WorkloadApiIdentity,
} from '@countersign/identity';
import { z } from 'zod';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import { type IssuerSurroundings, rootsOfConfig, signerOfConfig } from './signer-of-config.ts';

/** An identity that somebody else signs or gives, as a long-running command holds it. */
export interface IssuedIdentity {
  readonly live: RotatingIdentity | FollowedIdentity | WorkloadApiIdentity;
  /** What is there now. */
  readonly identity: Identity;
  stop(): Promise<void>;
}

export interface OpenIssuerOptions extends IssuerSurroundings {
  readonly meter: Meter;
  /** Where the identity is kept, so that a restart needs no issuer. */
  readonly kept: string | undefined;
  readonly onSwap?: (identity: Identity) => void | Promise<void>;
}

/**
 * The identity of an `issuer:`; fresh from here on.
 *
 * @throws CountersignError ERR_ISSUER_*, ERR_IDENTITY_*, ERR_USAGE
 */
export async function openIssuer(
  written: WrittenIssuer,
  options: OpenIssuerOptions,
): Promise<IssuedIdentity> {
  const live = await openLive(written, options);
  return {
    live,
    get identity() {
      return live.identity;
    },
    stop: async () => await live.stop(),
  };
}

async function openLive(
  written: WrittenIssuer,
  options: OpenIssuerOptions,
): Promise<IssuedIdentity['live']> {
  const { clock, log, meter, directory, kept, onSwap } = options;
  const { workload_api: agent, files, spiffe_id: spiffeId = '', dns, ip, ttl: ttlMs } = written;
  const giver = agent !== undefined ? 'workload_api' : files !== undefined ? 'files' : undefined;
  if (giver !== undefined && kept !== undefined) {
    const message = `keep the identity in "${kept}": ${giver} gives it at each start, so that nothing is kept`;
    throw new CountersignError('ERR_USAGE', message, { hint: 'leave --identity out' });
  }
  if (agent !== undefined) {
    const { socket: address, spiffe_id: chosen, wait: waitMs } = agent;
    const asked = { address, spiffeId: chosen, waitMs };
    return told(await followWorkloadApi({ ...asked, clock, log }), options);
  }
  if (files !== undefined) {
    const path = (text: string) => resolve(directory, text);
    const followed = await openFiles({
      files: {
        ...{ keyFile: path(files.key), certFile: path(files.cert), rootsFile: path(files.roots) },
        chainFile: files.chain === undefined ? undefined : path(files.chain),
      },
      ...{ spiffeId: written.spiffe_id, clock, log },
    });
    return told(followed, options);
  }
  return await openIssued({
    ...{ issuer: signerOfConfig(written, options), names: { spiffeId, dns, ip }, ttlMs },
    ...{ roots: rootsOfConfig(written, options), directory: kept, clock, log, meter },
    ...(onSwap === undefined ? {} : { onSwap }),
  });
}

function told<Live extends FollowedIdentity | WorkloadApiIdentity>(
  live: Live,
  { onSwap, log }: OpenIssuerOptions,
): Live {
  live.onChange(() => {
    Promise.resolve(onSwap?.(live.identity)).catch((thrown: unknown) => {
      log.error({ err: thrown }, `after the renewal: ${messageOf(thrown)}`);
    });
  });
  return live;
}

const fileSchema = z.strictObject({ issuer: issuerSchema });

/** A file that has an `issuer:` alone, for commands that have no other. */
export async function readIssuerFile(
  cli: Cli,
  path: string,
): Promise<{ readonly issuer: WrittenIssuer; readonly directory: string }> {
  const text = Buffer.from(await readInput(cli, path, 'read configuration')).toString('utf8');
  const { issuer } = readConfigText(fileSchema, text, path);
  return { issuer, directory: resolve(dirname(path)) };
}
