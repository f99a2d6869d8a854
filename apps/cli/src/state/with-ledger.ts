import { adminClient, type LedgerPages, ledgerOverSocket, openStateLedger } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { createLog } from '../serve/pino-log.ts';
import { readStateConfig } from './open-state.ts';
import { secretPlaces } from './secret-places.ts';
import type { StateOptions } from './state-options.ts';

export type LedgerOptions = Pick<StateOptions, 'data' | 'config'>;

/** The ledger's records and rows: of the server that runs, or read here under the ledger's lock. No key is opened. */
export async function withLedger<T>(
  cli: Cli,
  options: LedgerOptions,
  work: (ledger: Omit<LedgerPages, 'openIntents'>) => Promise<T>,
): Promise<T> {
  const client = await adminClient(options.data);
  if (client !== undefined) return work(ledgerOverSocket(client));
  const ledger = await openStateLedger({
    config: await readStateConfig(cli, options),
    data: options.data,
    secrets: secretPlaces(cli),
    clock: cli.clock,
    log: createLog(cli, 'warn'),
  });
  try {
    return await work(ledger);
  } finally {
    await ledger.close();
  }
}
