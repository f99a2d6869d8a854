import { randomUUID } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import type { Client } from 'pg';
import { auditGenesis } from '../audit-trail.ts';
import { isContention } from './database-error.ts';

/**
 * Step `n` brings a schema from version n to n + 1. Every statement may run twice: not every database that speaks this
 * dialect undoes definitions with their transaction. A step that has been released is never edited: append another.
 * What one of PostgreSQL, CockroachDB and YugabyteDB lacks is not used.
 */
const migrations: readonly ((schema: string) => readonly string[])[] = [
  (s) => [
    `CREATE TABLE IF NOT EXISTS ${s}.head (
      id BIGINT PRIMARY KEY CHECK (id = 1),
      ledger TEXT NOT NULL,
      position BIGINT NOT NULL,
      revocation BIGINT NOT NULL,
      intents BIGINT NOT NULL,
      issued BIGINT NOT NULL,
      abandoned BIGINT NOT NULL,
      revocations BIGINT NOT NULL,
      tokens BIGINT NOT NULL,
      audit BIGINT NOT NULL,
      audit_hash BYTEA NOT NULL
    )`,
    `INSERT INTO ${s}.head VALUES (1, '${randomUUID()}', 0, 0, 0, 0, 0, 0, 0, 0, '\\x${auditGenesis.hash}')
      ON CONFLICT (id) DO NOTHING`,
    `CREATE TABLE IF NOT EXISTS ${s}.intents (
      position BIGINT PRIMARY KEY,
      at BIGINT NOT NULL,
      serial TEXT NOT NULL CHECK (substr(serial, 1, 16) = '01' || lpad(to_hex(position), 14, '0')),
      spiffe_id TEXT,
      names TEXT NOT NULL,
      spki_hash TEXT NOT NULL,
      provisioner TEXT NOT NULL,
      grant_kind TEXT NOT NULL,
      granted_by TEXT,
      issuer TEXT NOT NULL,
      not_after BIGINT NOT NULL
    )`,
    `CREATE INDEX IF NOT EXISTS intents_spiffe_id ON ${s}.intents (spiffe_id, not_after)`,
    `CREATE INDEX IF NOT EXISTS intents_spki_hash ON ${s}.intents (spki_hash)`,
    `CREATE INDEX IF NOT EXISTS intents_provisioner ON ${s}.intents (provisioner, not_after)`,
    // Apart from the intents, which are never updated: it stays as small as what is under way.
    `CREATE TABLE IF NOT EXISTS ${s}.open_intents (
      position BIGINT PRIMARY KEY,
      writer TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.certificates (
      intent BIGINT PRIMARY KEY,
      position BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      der BYTEA NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.abandoned (
      intent BIGINT PRIMARY KEY,
      position BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      reason TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.tokens (
      position BIGINT PRIMARY KEY,
      at BIGINT NOT NULL,
      id TEXT NOT NULL UNIQUE,
      secret_hash TEXT NOT NULL,
      spiffe_id TEXT,
      names TEXT NOT NULL,
      provisioner TEXT NOT NULL,
      ttl_ms BIGINT,
      expires_at BIGINT NOT NULL,
      spent_by BIGINT
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.revocations (
      position BIGINT PRIMARY KEY,
      previous BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      by_what TEXT NOT NULL,
      value TEXT NOT NULL,
      reason TEXT NOT NULL,
      block BIGINT NOT NULL,
      ordered_by TEXT NOT NULL
    )`,
    `CREATE INDEX IF NOT EXISTS revocations_value ON ${s}.revocations (value, by_what, position)`,
    `CREATE TABLE IF NOT EXISTS ${s}.leases (
      instance TEXT PRIMARY KEY,
      spiffe_id TEXT NOT NULL,
      max_silence_ms BIGINT NOT NULL,
      last_seen BIGINT NOT NULL,
      expires_at BIGINT NOT NULL,
      position BIGINT NOT NULL,
      closed BIGINT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.acks (
      instance TEXT NOT NULL,
      position BIGINT NOT NULL,
      spiffe_id TEXT NOT NULL,
      at BIGINT NOT NULL,
      closed BIGINT NOT NULL,
      kept BIGINT NOT NULL,
      elapsed_ms DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (instance, position)
    )`,
    `CREATE INDEX IF NOT EXISTS acks_position ON ${s}.acks (position)`,
    `CREATE TABLE IF NOT EXISTS ${s}.audit (
      seq BIGINT PRIMARY KEY,
      position BIGINT,
      record BYTEA,
      said TEXT NOT NULL,
      hash BYTEA NOT NULL
    )`,
    // Processes over this ledger, and the last batch that each committed.
    `CREATE TABLE IF NOT EXISTS ${s}.writers (
      id TEXT PRIMARY KEY,
      batch BIGINT NOT NULL,
      seen_at TIMESTAMPTZ NOT NULL
    )`,
  ],
  // What ended long ago, apart from what is asked about every day.
  (s) => [
    `CREATE TABLE IF NOT EXISTS ${s}.archived_intents (
      position BIGINT PRIMARY KEY,
      at BIGINT NOT NULL,
      serial TEXT NOT NULL,
      spiffe_id TEXT,
      names TEXT NOT NULL,
      spki_hash TEXT NOT NULL,
      provisioner TEXT NOT NULL,
      grant_kind TEXT NOT NULL,
      granted_by TEXT,
      issuer TEXT NOT NULL,
      not_after BIGINT NOT NULL,
      revocation BIGINT
    )`,
    `CREATE INDEX IF NOT EXISTS archived_intents_spki_hash ON ${s}.archived_intents (spki_hash)`,
    `CREATE TABLE IF NOT EXISTS ${s}.archived_certificates (
      intent BIGINT PRIMARY KEY,
      position BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      der BYTEA NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.archived_abandoned (
      intent BIGINT PRIMARY KEY,
      position BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      reason TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.archived_tokens (
      position BIGINT PRIMARY KEY,
      at BIGINT NOT NULL,
      id TEXT NOT NULL,
      secret_hash TEXT NOT NULL,
      spiffe_id TEXT,
      names TEXT NOT NULL,
      provisioner TEXT NOT NULL,
      ttl_ms BIGINT,
      expires_at BIGINT NOT NULL,
      spent_by BIGINT
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.archived_revocations (
      position BIGINT PRIMARY KEY,
      previous BIGINT NOT NULL UNIQUE,
      at BIGINT NOT NULL,
      by_what TEXT NOT NULL,
      value TEXT NOT NULL,
      reason TEXT NOT NULL,
      block BIGINT NOT NULL,
      ordered_by TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.retention (
      id BIGINT PRIMARY KEY CHECK (id = 1),
      phase TEXT NOT NULL,
      after BIGINT NOT NULL,
      holder TEXT,
      held_until BIGINT NOT NULL,
      certificates BIGINT NOT NULL,
      tokens BIGINT NOT NULL,
      revocations BIGINT NOT NULL,
      round BIGINT NOT NULL,
      ended_before BIGINT NOT NULL,
      finished_at BIGINT NOT NULL
    )`,
    `INSERT INTO ${s}.retention VALUES (1, 'intents', 0, NULL, 0, 0, 0, 0, 0, 0, 0)
      ON CONFLICT (id) DO NOTHING`,
    `CREATE TABLE IF NOT EXISTS ${s}.list_numbers (
      path TEXT PRIMARY KEY,
      number TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.imported_lists (
      issuer TEXT PRIMARY KEY,
      number TEXT NOT NULL,
      at BIGINT NOT NULL,
      der BYTEA NOT NULL
    )`,
  ],
  // What all processes over a ledger share beside its records, and who said which trust bundle it holds: kept for as
  // long as a key of the hierarchy is being replaced.
  (s) => [
    `CREATE TABLE IF NOT EXISTS ${s}.documents (
      name TEXT PRIMARY KEY,
      version BIGINT NOT NULL,
      body TEXT NOT NULL
    )`,
    `CREATE TABLE IF NOT EXISTS ${s}.bundle_holders (
      intent BIGINT NOT NULL,
      instance TEXT NOT NULL,
      digest TEXT NOT NULL,
      at BIGINT NOT NULL,
      PRIMARY KEY (intent, instance)
    )`,
  ],
  // What a list knows of stands beside its number.
  (s) => [
    `ALTER TABLE ${s}.list_numbers ADD COLUMN IF NOT EXISTS position BIGINT NOT NULL DEFAULT 0`,
    `DROP TABLE IF EXISTS ${s}.imported_lists`,
  ],
  // Revocations that are compared with every certificate are few among many.
  (s) => [
    `CREATE INDEX IF NOT EXISTS revocations_wide ON ${s}.revocations (position)
      WHERE by_what IN ('spiffe-prefix', 'issuer', 'time')`,
  ],
  // What edges for other protocols keep between requests.
  (s) => [
    `CREATE TABLE IF NOT EXISTS ${s}.edge_records (
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      owner TEXT NOT NULL,
      version BIGINT NOT NULL,
      expires_at BIGINT NOT NULL,
      body TEXT NOT NULL,
      PRIMARY KEY (kind, id)
    )`,
    `CREATE INDEX IF NOT EXISTS edge_records_owner ON ${s}.edge_records (kind, owner)`,
    `CREATE INDEX IF NOT EXISTS edge_records_end ON ${s}.edge_records (expires_at)`,
  ],
  // By which profile a certificate was asked for, if by any. The newest row of the trail about each document, and the
  // token that an intent redeemed, are found without reading all of them.
  (s) => [
    `ALTER TABLE ${s}.intents ADD COLUMN IF NOT EXISTS profile TEXT`,
    `ALTER TABLE ${s}.archived_intents ADD COLUMN IF NOT EXISTS profile TEXT`,
    `CREATE INDEX IF NOT EXISTS audit_documents ON ${s}.audit
      ((said::jsonb -> 'document' ->> 'name'), seq) WHERE strpos(said, '"document":') > 0`,
    `CREATE INDEX IF NOT EXISTS archived_tokens_spent_by ON ${s}.archived_tokens (spent_by)
      WHERE spent_by IS NOT NULL`,
  ],
  // The long-term key that an order was signed with, if any: renewals need it again.
  (s) => [
    `ALTER TABLE ${s}.intents ADD COLUMN IF NOT EXISTS proof_key TEXT`,
    `ALTER TABLE ${s}.archived_intents ADD COLUMN IF NOT EXISTS proof_key TEXT`,
  ],
  // Orders of a long-term key are found by it: a revocation of that key covers them. Few have one.
  (s) => [
    `CREATE INDEX IF NOT EXISTS intents_proof_key ON ${s}.intents (proof_key, position)
      WHERE proof_key IS NOT NULL`,
  ],
];

/**
 * Brings the tables to the present version, and with `create` makes them where they are missing; several processes may
 * do so at once.
 *
 * @returns the id of the ledger, given to it when it was made
 * @throws CountersignError ERR_LEDGER_VERSION, ERR_STATE_BROKEN
 */
export async function migrate(client: Client, schema: string, create: boolean): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await migrateOnce(client, schema, create);
    } catch (thrown) {
      await client.query('ROLLBACK');
      // Two who create the same thing at once: one of them is told that it exists, in spite of IF NOT EXISTS.
      if (attempt === 10 || !(isContention(thrown) || existsAlready.has(codeOf(thrown)))) {
        throw thrown;
      }
    }
  }
}

async function migrateOnce(client: Client, s: string, create: boolean): Promise<string> {
  const found = await versionOf(client, s);
  if (found === 0 && !create) {
    throw new CountersignError(
      'ERR_STATE_BROKEN',
      `schema "${s}" of the database holds no ledger, the state was made with one`,
      {
        fields: { schema: s },
        hint: 'give the database and ledger.postgres.schema that init was given, or restore both from a backup',
      },
    );
  }
  if (found < migrations.length) {
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${s}`);
    await client.query(
      `CREATE TABLE IF NOT EXISTS ${s}.version (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)`,
    );
    await client.query(`INSERT INTO ${s}.version VALUES (1, 0) ON CONFLICT (id) DO NOTHING`);
    await client.query('BEGIN');
    const locked = await client.query(`SELECT version FROM ${s}.version WHERE id = 1 FOR UPDATE`);
    for (const step of migrations.slice(Number(locked.rows[0]?.version ?? 0))) {
      for (const statement of step(s)) await client.query(statement);
    }
    await client.query(`UPDATE ${s}.version SET version = $1 WHERE id = 1 AND version < $1`, [
      migrations.length,
    ]);
    await client.query('COMMIT');
  }
  if (found > migrations.length) {
    throw new CountersignError(
      'ERR_LEDGER_VERSION',
      `ledger in schema "${s}" has version ${found}, this program knows up to ${migrations.length}`,
      { fields: { schema: s, found, known: migrations.length } },
    );
  }
  const { rows } = await client.query(`SELECT ledger FROM ${s}.head WHERE id = 1`);
  return String(rows[0]?.ledger);
}

/** 0 where there is no ledger yet. */
async function versionOf(client: Client, s: string): Promise<number> {
  try {
    const { rows } = await client.query(`SELECT version FROM ${s}.version WHERE id = 1`);
    return Number(rows[0]?.version ?? 0);
  } catch (thrown) {
    if (isMissing.has(codeOf(thrown))) return 0;
    throw thrown;
  }
}

function codeOf(thrown: unknown): string {
  return String((thrown as { code?: unknown }).code);
}

/** undefined_table, invalid_schema_name. */
const isMissing: ReadonlySet<string> = new Set(['42P01', '3F000']);
/** unique_violation, duplicate_table, duplicate_schema, duplicate_object, internal_error ("tuple concurrently updated"). */
const existsAlready: ReadonlySet<string> = new Set(['23505', '42P07', '42P06', '42710', 'XX000']);
