import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Clock, noLog, Secret, systemClock } from '@countersign/base';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import { Client } from 'pg';
import { openPostgresLedger } from '../postgres/postgres-ledger.ts';
import { verifyAudit } from '../verify-audit.ts';
import {
  somethingOfEverything,
  tamperingStart,
  tamperingsOfEverything,
} from './tampering.suite.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });

if ('skip' in found) it('a tampered ledger in PostgreSQL', { skip: found.skip }, () => {});
else suite(found);

function suite(server: PostgresServer): void {
  describe('a ledger in PostgreSQL that somebody changed behind the authority', () => {
    const schema = `tampering_${process.pid}`;
    let now = tamperingStart;
    const clock: Clock = { ...systemClock, now: () => now };
    const open = (create: boolean) =>
      openPostgresLedger({
        url: () => new Secret(server.url),
        schema,
        create,
        clock,
        log: noLog,
      });
    let client: Client;
    let tables: readonly string[];

    before(async () => {
      client = new Client({ connectionString: server.url });
      await client.connect();
      const ledger = await open(true);
      await somethingOfEverything(ledger, (ms) => {
        now += ms;
      });
      await ledger.close();
      await client.query(`SET search_path = ${schema}; CREATE SCHEMA ${schema}_sound`);
      const { rows } = await client.query(
        `SELECT table_name FROM information_schema.tables WHERE table_schema = '${schema}'`,
      );
      tables = rows.map((row) => String(row.table_name));
      for (const table of tables) {
        await client.query(`CREATE TABLE ${schema}_sound.${table} AS TABLE ${table}`);
      }
    });
    after(async () => {
      await client.query(`DROP SCHEMA ${schema}_sound, ${schema} CASCADE`);
      await client.end();
      await server.close();
    });

    async function verdictAfter(sql: string) {
      await client.query(sql);
      const ledger = await open(false);
      try {
        return await verifyAudit(ledger);
      } finally {
        await ledger.close();
        await client.query('DROP TRIGGER IF EXISTS helpful ON tokens');
        for (const table of tables) {
          await client.query(
            `DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM ${schema}_sound.${table}`,
          );
        }
      }
    }

    it('is sound before', async () => {
      const { findings, records, unmarked } = await verdictAfter('SELECT 1');
      assert.deepEqual([findings, records, unmarked], [[], 17, []]);
    });

    for (const { sql, finds, only } of tamperingsOfEverything) {
      if (only === 'sqlite') continue;
      it(`shows by name what was done to it: ${sql.replaceAll(/\s+/g, ' ')}`, async () => {
        const { findings } = await verdictAfter(sql);
        assert.match(findings.join('\n'), finds);
      });
    }
  });
}
