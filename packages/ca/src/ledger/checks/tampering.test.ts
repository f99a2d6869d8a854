import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { type Clock, noLog } from '@countersign/base';
import { openSqliteLedger } from '../sqlite-ledger.ts';
import { openLedgerDatabase } from '../sqlite-schema.ts';
import { SqliteStore } from '../sqlite-store.ts';
import { verifyAudit } from '../verify-audit.ts';
import { contradictions } from './contradictions.ts';
import {
  somethingOfEverything,
  tamperingStart,
  tamperingsOfEverything,
} from './tampering.suite.ts';

describe('a SQLite ledger that somebody changed behind the authority', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-tampering-'));
  const sound = join(directory, 'sound.db');
  let now = tamperingStart;
  const clock: Clock = { now: () => now, monotonic: () => 0, sleep: async () => {} };

  before(async () => {
    const ledger = await openSqliteLedger({ file: sound, create: true, clock, log: noLog });
    await somethingOfEverything(ledger, (ms) => {
      now += ms;
    });
    await ledger.close();
  });
  after(() => rmSync(directory, { recursive: true }));

  async function verdictAfter(sql: string) {
    const file = join(directory, 'changed.db');
    cpSync(sound, file);
    const tampering = new DatabaseSync(file);
    tampering.exec(`PRAGMA foreign_keys = OFF; ${sql}`);
    tampering.close();
    const database = openLedgerDatabase(file, { create: false });
    try {
      return await verifyAudit(readerOf(database, now));
    } finally {
      database.close();
      rmSync(file);
    }
  }

  it('is sound before', async () => {
    const { findings, records, unmarked } = await verdictAfter('');
    assert.deepEqual([findings, records, unmarked], [[], 17, []]);
  });

  for (const { sql, finds, only } of tamperingsOfEverything) {
    if (only === 'postgres') continue;
    it(`shows by name what was done to it: ${sql.replaceAll(/\s+/g, ' ')}`, async () => {
      const { findings } = await verdictAfter(sql);
      assert.match(findings.join('\n'), finds);
    });
  }

  it('says which documents are older than their hashes in the trail, and finds nothing wrong with them', async () => {
    const { findings, unmarked } = await verdictAfter(withoutMarks());
    assert.deepEqual([findings, unmarked], [[], ['entries', 'hierarchy']]);
  });

  /** The trail as it was written before rows named documents: chained anew. */
  function withoutMarks(): string {
    const database = openLedgerDatabase(sound, { create: false });
    const store = new SqliteStore(database);
    database.exec('BEGIN');
    const kept = store.auditAfter(0, 1000);
    database.exec('DELETE FROM audit; UPDATE head SET audit = 0, audit_hash = zeroblob(32)');
    const anew = new SqliteStore(database);
    for (const { said, position } of kept) {
      const { document: _, ...words } = JSON.parse(said);
      const record = position === undefined ? [] : store.recordsAfter(position - 1, 1);
      anew.trail(words, record[0]);
    }
    anew.writeHead();
    const hex = (text: string) => `x'${text}'`;
    const rows = anew.auditAfter(0, 1000).map(({ seq, position, record, said, hash }) => {
      const about = record === undefined ? 'NULL, NULL' : `${position}, ${hex(record)}`;
      return `(${seq}, ${about}, '${said}', ${hex(hash)})`;
    });
    const end = hex(anew.auditHead().hash);
    database.exec('ROLLBACK');
    database.close();
    return `DELETE FROM audit; INSERT INTO audit VALUES ${rows.join(', ')}; UPDATE head SET audit_hash = ${end}`;
  }
});

function readerOf(database: DatabaseSync, at: number) {
  const store = new SqliteStore(database);
  const tx = { store, at, random: () => new Uint8Array() };
  return {
    status: async () => store.status(),
    auditAfter: async (seq: number, limit: number) => store.auditAfter(seq, limit),
    recordsAfter: async (position: number, limit: number) => store.recordsAfter(position, limit),
    contradictions: async (above: number, limit: number) => contradictions(tx, above, limit),
  };
}
