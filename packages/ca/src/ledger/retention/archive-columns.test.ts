import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openLedgerDatabase } from '../sqlite-schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-archive-'));
after(() => rmSync(directory, { recursive: true }));

describe('tables of the archive', () => {
  const database = openLedgerDatabase(join(directory, 'ledger.db'), { create: true });
  after(() => database.close());
  const columnsOf = (table: string) =>
    database
      .prepare(`SELECT name, type FROM pragma_table_info('${table}')`)
      .all()
      .map(({ name, type }) => `${name} ${type}`);

  for (const table of ['intents', 'certificates', 'abandoned', 'tokens', 'revocations']) {
    it(`have the columns of ${table}, in the same order: rows are moved as they are`, () => {
      assert.deepEqual(
        columnsOf(`archived_${table}`).filter((column) => column !== 'revocation INTEGER'),
        columnsOf(table),
      );
    });
  }
});
