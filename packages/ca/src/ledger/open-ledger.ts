import { type Clock, CountersignError, type Log, type Meter, Secret } from '@countersign/base';
import { type SecretPlaces, secretReader } from '../signers/secret-source.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerConfig, PostgresConfig } from './ledger-config.ts';
import type { PostgresLedger } from './postgres/postgres-ledger.ts';
import { openSqliteLedger } from './sqlite-ledger.ts';
import { endThreadAhead } from './sqlite-thread.ts';

export interface OpenLedgerOptions {
  readonly config: LedgerConfig;
  /** Path of the SQLite file, where that is what the configuration says. */
  readonly file: string;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter?: Meter | undefined;
}

/** What a data directory says of the ledger that it was made with: the id of one in PostgreSQL. */
export type LedgerOfState = { readonly postgres: string } | undefined;

/**
 * The ledger of the configuration, proved to be the one that the data directory was made with. It is never made anew.
 *
 * @throws CountersignError ERR_STATE_CONFIG, ERR_STATE_BROKEN, and those of the ledger
 */
export async function openLedger(
  options: OpenLedgerOptions & { readonly state: LedgerOfState },
): Promise<Ledger> {
  const { config, state } = options;
  if (config.postgres === undefined && state === undefined) return openFile(options, false);
  if (config.postgres === undefined || state === undefined) {
    const [configured, made] =
      config.postgres === undefined ? ['a file', 'PostgreSQL'] : ['PostgreSQL', 'a file'];
    throw otherLedger(`ledger is configured as ${configured}, the state was made with ${made}`);
  }
  const ledger = await openPostgres(config.postgres, options, false);
  if (ledger.id === state.postgres) return ledger;
  await ledger.close();
  const sides = `is "${ledger.id}", the state was made with "${state.postgres}"`;
  throw otherLedger(`ledger in schema "${config.postgres.schema}" of the database ${sides}`);
}

/**
 * A ledger for a new authority: nothing may be in it.
 *
 * @throws CountersignError ERR_STATE_EXISTS, and those of the ledger
 */
export async function openNewLedger(
  options: OpenLedgerOptions,
): Promise<{ readonly ledger: Ledger; readonly state: LedgerOfState }> {
  const { postgres } = options.config;
  if (postgres === undefined) return { ledger: await openFile(options, true), state: undefined };
  const ledger = await openPostgres(postgres, options, true);
  const { position } = await ledger.status();
  if (position === 0) return { ledger, state: { postgres: ledger.id } };
  await ledger.close();
  throw new CountersignError(
    'ERR_STATE_EXISTS',
    `init an authority over the database: schema "${postgres.schema}" holds a ledger of ${position} records`,
    {
      hint: 'give another ledger.postgres.schema, or copy the data directory of the authority whose ledger it is',
    },
  );
}

function openFile(options: OpenLedgerOptions, create: boolean): Promise<Ledger> {
  const { file, clock, log, meter } = options;
  return openSqliteLedger({ file, create, clock, log, ...(meter === undefined ? {} : { meter }) });
}

/** Its driver is loaded where ca.yaml says PostgreSQL. */
async function openPostgres(
  config: PostgresConfig,
  options: OpenLedgerOptions,
  create: boolean,
): Promise<PostgresLedger> {
  const { url: place, schema, timeoutMs, pollMs } = config;
  const { secrets, clock, log, meter } = options;
  endThreadAhead();
  const { openPostgresLedger } = await import('./postgres/postgres-ledger.ts');
  const url =
    place.from === 'configuration'
      ? () => new Secret(place.url)
      : secretReader(place, secrets, "address of the ledger's database");
  return openPostgresLedger({ url, schema, create, timeoutMs, pollMs, clock, log, meter });
}

function otherLedger(message: string): CountersignError {
  return new CountersignError('ERR_STATE_CONFIG', message, {
    hint: 'give the "ledger" of the ca.yaml that init was given',
  });
}
