import { join } from 'node:path';
import {
  CountersignError,
  type Log,
  type Meter,
  noMeter,
  writeFileDurably,
} from '@countersign/base';
import {
  type Authority,
  adminClient,
  type CaConfig,
  openAuthority,
  parseCaConfig,
} from '@countersign/ca';
import type { AuthorityClient } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import { readLastingSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { secretPlaces } from './secret-places.ts';
import type { StateOptions } from './state-options.ts';

/** The two ways to an authority for whoever holds its state; what both give is the same. */
export interface OperatorWays<T> {
  /** A server runs: over its admin socket, so that it enforces the change at once. */
  readonly server: (client: AuthorityClient) => Promise<T>;
  /** None runs: the state is opened here, under the ledger's lock. */
  readonly state: (authority: Authority) => Promise<T>;
}

/** @throws CountersignError of the way that was taken */
export async function asOperator<T>(
  cli: Cli,
  options: StateOptions,
  ways: OperatorWays<T>,
): Promise<T> {
  const client = await adminClient(options.data);
  if (client !== undefined) return ways.server(client);
  const authority = await openState(cli, options, {
    log: createLog(cli, 'warn'),
    meter: noMeter,
    config: await readStateConfig(cli, options),
  });
  try {
    return await ways.state(authority);
  } finally {
    await authority.close();
  }
}

export async function openState(
  cli: Cli,
  options: StateOptions,
  parts: { readonly log: Log; readonly meter: Meter; readonly config: CaConfig },
): Promise<Authority> {
  const { passphrase, keyFile, data } = options;
  return openAuthority({
    data,
    clock: cli.clock,
    secrets: secretPlaces(cli),
    ...parts,
    ...(keyFile !== undefined && { keyFile }),
    ...(passphrase !== undefined && {
      passphrase: await readLastingSecret(cli, passphrase, '--passphrase', (text) =>
        parts.log.warn({}, text),
      ),
    }),
  });
}

export async function readCaConfig(
  cli: Cli,
  file: string,
): Promise<{ text: string; config: CaConfig }> {
  const text = Buffer.from(await readInput(cli, file, 'read configuration')).toString('utf8');
  return { text, config: parseCaConfig(text, file) };
}

/** The configuration of `--config`, or else the one that was last in force. */
export async function readStateConfig(cli: Cli, options: StateOptions): Promise<CaConfig> {
  const { config } = await readCaConfig(cli, options.config ?? keptConfig(options.data)).catch(
    (thrown: unknown) => {
      if (options.config !== undefined || !isMissing(thrown)) throw thrown;
      throw new CountersignError(
        'ERR_STATE_MISSING',
        `open the authority in "${options.data}": it holds no ca.yaml, and --config is not given`,
      );
    },
  );
  return config;
}

/**
 * Commands on the state are typed without `--config`: so the state keeps the configuration that init was given and
 * `ca serve` last ran with. Durable when it resolves.
 */
export async function keepConfig(data: string, text: string): Promise<void> {
  await writeFileDurably(keptConfig(data), text);
}

function keptConfig(data: string): string {
  return join(data, 'ca.yaml');
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_FILE';
}
