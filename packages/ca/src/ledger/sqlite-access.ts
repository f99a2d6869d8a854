import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Row } from './ledger-rows.ts';

/** Statements by their text, each prepared once. */
export interface SqliteAccess {
  run(sql: string, ...values: SQLInputValue[]): void;
  get(sql: string, ...values: SQLInputValue[]): Row | undefined;
  all(sql: string, ...values: SQLInputValue[]): Row[];
}

export function sqliteAccess(database: DatabaseSync): SqliteAccess {
  const statements = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    const held = statements.get(sql);
    if (held !== undefined) return held;
    const prepared = database.prepare(sql);
    statements.set(sql, prepared);
    return prepared;
  };
  return {
    run: (sql, ...values) => void statement(sql).run(...values),
    get: (sql, ...values) => statement(sql).get(...values),
    all: (sql, ...values) => statement(sql).all(...values),
  };
}
