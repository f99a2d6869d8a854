import { after, it } from 'node:test';
import { noLog, Secret } from '@countersign/base';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import { leaseSuite } from '../lease.suite.ts';
import { type LedgerUnderTest, ledgerSuite } from '../ledger.suite.ts';
import { openPostgresLedger } from './postgres-ledger.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });

if ('skip' in found) it('postgres ledger', { skip: found.skip }, () => {});
else suites(found);

function suites(server: PostgresServer): void {
  let schemas = 0;
  const freshSchema = () => `test_${process.pid}_${schemas++}`;
  const url = () => new Secret(server.url);
  after(() => server.close());

  const subject: LedgerUnderTest = {
    open: (clock) => openPostgresLedger({ url, schema: freshSchema(), clock, log: noLog }),
  };
  ledgerSuite('postgres ledger', subject);
  leaseSuite('postgres ledger', subject);
}
