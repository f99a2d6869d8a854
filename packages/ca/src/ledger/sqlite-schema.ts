import { accessSync, closeSync, constants, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CountersignError, messageOf } from '@countersign/base';
import { migrations } from './sqlite-migrations.ts';

/** "CsLg": tells our file from another program's SQLite file. */
const applicationId = 0x43734c67;
const busy = 5;
/** SQLITE_CORRUPT, SQLITE_NOTADB. */
const damaged: ReadonlySet<number> = new Set([11, 26]);

/**
 * Opens the file for this process alone and brings it to the present schema. `create` makes it (0600) where it is missing.
 * The lock is the operating system's, held until the handle closes: it ends with the process, kill -9 included.
 * Never open and close the same file by other means in this process: POSIX would drop the lock with that handle.
 *
 * @throws CountersignError ERR_LEDGER_LOCKED, ERR_LEDGER_VERSION, ERR_LEDGER_FAILED; ERR_STATE_BROKEN where it is
 *   damaged or, without `create`, missing or empty
 */
export function openLedgerDatabase(
  file: string,
  { create }: { readonly create: boolean },
): DatabaseSync {
  if (create) createPrivately(file);
  else mustBeThere(file);
  const database = new DatabaseSync(file, { timeout: 0, enableForeignKeyConstraints: true });
  try {
    lock(database, file);
    migrate(database, file, create);
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/** Before SQLite looks at it, which would fill an empty file and drop the log beside it. */
function mustBeThere(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? -1;
  if (size <= 0) throw broken(file, size === 0 ? 'is empty' : 'is missing');
  mustBeWritable(file, file);
  mustBeWritable(file, dirname(file));
}

/** SQLite would say "disk I/O error" of a file that it may not write, or one that it can make no log beside. */
function mustBeWritable(file: string, path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (thrown) {
    throw new CountersignError(
      'ERR_LEDGER_FAILED',
      `ledger "${file}" cannot be opened for writing: ${messageOf(thrown)}`,
      { fields: { file }, cause: thrown },
    );
  }
}

function broken(file: string, what: string): CountersignError {
  return new CountersignError('ERR_STATE_BROKEN', `ledger "${file}" ${what}`, { fields: { file } });
}

function createPrivately(file: string): void {
  let handle: number;
  try {
    handle = openSync(file, 'ax', 0o600);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw thrown;
  }
  closeSync(handle);
  const directory = openSync(dirname(file), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function lock(database: DatabaseSync, file: string): void {
  try {
    database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA fullfsync = ON;
      PRAGMA checkpoint_fullfsync = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA cache_size = -4096;
      PRAGMA wal_autocheckpoint = 1000;
      BEGIN EXCLUSIVE;
      COMMIT;
    `);
  } catch (thrown) {
    const { errcode, message } = thrown as { errcode?: number; message?: string };
    if (errcode === busy) {
      throw new CountersignError(
        'ERR_LEDGER_LOCKED',
        `ledger "${file}" is open in another process`,
      );
    }
    if (errcode !== undefined && damaged.has(errcode & 0xff)) {
      throw broken(file, `is damaged, or no ledger: ${message}`);
    }
    throw new CountersignError(
      'ERR_LEDGER_FAILED',
      `ledger "${file}" cannot be opened for writing: ${message}`,
      { cause: thrown },
    );
  }
}

function migrate(database: DatabaseSync, file: string, create: boolean): void {
  const version = pragma(database, 'user_version');
  if (version === 0 && !create) throw broken(file, 'holds no records of countersign');
  const owner = pragma(database, 'application_id');
  if (version > 0 && owner !== applicationId) {
    throw new CountersignError('ERR_LEDGER_VERSION', `file "${file}" is no ledger of countersign`);
  }
  if (version > migrations.length) {
    throw new CountersignError(
      'ERR_LEDGER_VERSION',
      `ledger "${file}" has schema ${version}, this version knows up to ${migrations.length}`,
      { fields: { found: version, known: migrations.length } },
    );
  }
  if (version === migrations.length) return;
  database.exec('BEGIN IMMEDIATE');
  for (const step of migrations.slice(version)) {
    if (typeof step === 'string') database.exec(step);
    else step(database);
  }
  database.exec(`PRAGMA application_id = ${applicationId}`);
  database.exec(`PRAGMA user_version = ${migrations.length}`);
  database.exec('COMMIT');
}

function pragma(database: DatabaseSync, name: 'user_version' | 'application_id'): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return Number(row?.[name] ?? 0);
}
