import type { DatabaseSync } from 'node:sqlite';
import { auditGenesis } from './audit-trail.ts';
import { recordTablesOf } from './ledger-rows.ts';
import { SqliteStore } from './sqlite-store.ts';

/**
 * Step `n` brings a file from `user_version` n to n + 1. A step that has been released is never edited: append another.
 */
export const migrations: readonly Migration[] = [
  `
  CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    revocation INTEGER NOT NULL,
    intents INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    revocations INTEGER NOT NULL,
    tokens INTEGER NOT NULL
  ) STRICT;
  INSERT INTO head VALUES (1, 0, 0, 0, 0, 0, 0, 0);

  CREATE TABLE intents (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    serial TEXT NOT NULL CHECK (substr(serial, 1, 16) = printf('01%014x', position)),
    spiffe_id TEXT,
    names TEXT NOT NULL,
    spki_hash TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    grant_kind TEXT NOT NULL,
    granted_by TEXT,
    issuer TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('issued', 'abandoned'))
  ) STRICT;
  CREATE INDEX intents_spiffe_id ON intents (spiffe_id) WHERE spiffe_id IS NOT NULL;
  CREATE INDEX intents_spki_hash ON intents (spki_hash);
  CREATE INDEX intents_open ON intents (position) WHERE outcome IS NULL;

  CREATE TABLE certificates (
    intent INTEGER PRIMARY KEY REFERENCES intents (position),
    position INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    der BLOB NOT NULL
  ) STRICT;

  CREATE TABLE abandoned (
    intent INTEGER PRIMARY KEY REFERENCES intents (position),
    position INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
  ) STRICT;

  CREATE TABLE tokens (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    secret_hash TEXT NOT NULL,
    spiffe_id TEXT,
    names TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    ttl_ms INTEGER,
    expires_at INTEGER NOT NULL,
    spent_by INTEGER REFERENCES intents (position)
  ) STRICT;

  CREATE TABLE revocations (
    position INTEGER PRIMARY KEY,
    previous INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    by_what TEXT NOT NULL,
    value TEXT NOT NULL,
    reason TEXT NOT NULL,
    block INTEGER NOT NULL,
    ordered_by TEXT NOT NULL
  ) STRICT;
  CREATE INDEX revocations_value ON revocations (value, by_what, position);

  CREATE TABLE leases (
    instance TEXT PRIMARY KEY,
    spiffe_id TEXT NOT NULL,
    max_silence_ms INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    position INTEGER NOT NULL,
    closed INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE acks (
    instance TEXT NOT NULL,
    position INTEGER NOT NULL,
    spiffe_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    elapsed_ms REAL NOT NULL,
    PRIMARY KEY (instance, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX acks_position ON acks (position);
  `,
  // The audit trail; what was recorded before it is vouched for from here on.
  (database) => {
    database.exec(`
      ALTER TABLE head ADD COLUMN audit INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE head ADD COLUMN audit_hash BLOB NOT NULL DEFAULT x'${auditGenesis.hash}';
      CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        position INTEGER,
        record BLOB,
        said TEXT NOT NULL,
        hash BLOB NOT NULL
      ) STRICT;
      CREATE INDEX intents_provisioner ON intents (provisioner, not_after);
      DROP INDEX intents_spiffe_id;
      CREATE INDEX intents_spiffe_id ON intents (spiffe_id, not_after) WHERE spiffe_id IS NOT NULL;
    `);
    trailOfRecords(new SqliteStore(database));
  },
  // What ended long ago, apart from what is asked about every day: the same columns and no index but those for a serial
  // and a key. Tokens lose their reference, which would be looked for in all of them when an intent goes.
  `
  CREATE TABLE tokens_alone (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    secret_hash TEXT NOT NULL,
    spiffe_id TEXT,
    names TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    ttl_ms INTEGER,
    expires_at INTEGER NOT NULL,
    spent_by INTEGER
  ) STRICT;
  INSERT INTO tokens_alone SELECT * FROM tokens;
  DROP TABLE tokens;
  ALTER TABLE tokens_alone RENAME TO tokens;

  CREATE TABLE archived_intents (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    serial TEXT NOT NULL,
    spiffe_id TEXT,
    names TEXT NOT NULL,
    spki_hash TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    grant_kind TEXT NOT NULL,
    granted_by TEXT,
    issuer TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    revocation INTEGER
  ) STRICT;
  CREATE INDEX archived_intents_spki_hash ON archived_intents (spki_hash);
  CREATE TABLE archived_certificates (
    intent INTEGER PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    der BLOB NOT NULL
  ) STRICT;
  CREATE TABLE archived_abandoned (
    intent INTEGER PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
  ) STRICT;
  CREATE TABLE archived_tokens (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    id TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    spiffe_id TEXT,
    names TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    ttl_ms INTEGER,
    expires_at INTEGER NOT NULL,
    spent_by INTEGER
  ) STRICT;
  CREATE TABLE archived_revocations (
    position INTEGER PRIMARY KEY,
    previous INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    by_what TEXT NOT NULL,
    value TEXT NOT NULL,
    reason TEXT NOT NULL,
    block INTEGER NOT NULL,
    ordered_by TEXT NOT NULL
  ) STRICT;
  CREATE TABLE retention (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    phase TEXT NOT NULL,
    after INTEGER NOT NULL,
    holder TEXT,
    held_until INTEGER NOT NULL,
    certificates INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    revocations INTEGER NOT NULL,
    round INTEGER NOT NULL,
    ended_before INTEGER NOT NULL,
    finished_at INTEGER NOT NULL
  ) STRICT;
  INSERT INTO retention VALUES (1, 'intents', 0, NULL, 0, 0, 0, 0, 0, 0, 0);

  CREATE TABLE list_numbers (
    path TEXT PRIMARY KEY,
    number TEXT NOT NULL
  ) STRICT;
  CREATE TABLE imported_lists (
    issuer TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    at INTEGER NOT NULL,
    der BLOB NOT NULL
  ) STRICT;
  `,
  // What all processes over a ledger share beside its records, and who said which trust bundle it holds: kept for as
  // long as a key of the hierarchy is being replaced.
  `
  CREATE TABLE documents (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE TABLE bundle_holders (
    intent INTEGER NOT NULL,
    instance TEXT NOT NULL,
    digest TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (intent, instance)
  ) STRICT, WITHOUT ROWID;
  `,
  // What a list knows of stands beside its number. Indexes over names and keys begin with the era of an intent.
  `
  ALTER TABLE list_numbers ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
  DROP TABLE imported_lists;
  DROP INDEX intents_spiffe_id;
  CREATE INDEX intents_spiffe_id ON intents (position >> 17, spiffe_id, not_after)
    WHERE spiffe_id IS NOT NULL;
  DROP INDEX intents_spki_hash;
  CREATE INDEX intents_spki_hash ON intents (position >> 17, spki_hash);
  `,
  // Revocations that are compared with every certificate are few among many.
  `
  CREATE INDEX IF NOT EXISTS revocations_wide ON revocations (position)
    WHERE by_what IN ('spiffe-prefix', 'issuer', 'time');
  `,
  // What edges for other protocols keep between requests.
  `
  CREATE TABLE edge_records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX edge_records_owner ON edge_records (kind, owner, id) WHERE owner <> '';
  CREATE INDEX edge_records_end ON edge_records (expires_at);
  `,
  // By which profile a certificate was asked for, if by any. The newest row of the trail about each document, and the
  // token that an intent redeemed, are found without reading all of them.
  `
  ALTER TABLE intents ADD COLUMN profile TEXT;
  ALTER TABLE archived_intents ADD COLUMN profile TEXT;
  CREATE INDEX audit_documents ON audit (json_extract(said, '$.document.name'), seq)
    WHERE instr(said, '"document":') > 0;
  CREATE INDEX archived_tokens_spent_by ON archived_tokens (spent_by) WHERE spent_by IS NOT NULL;
  `,
  // The long-term key that an order was signed with, if any: renewals need it again.
  `
  ALTER TABLE intents ADD COLUMN proof_key TEXT;
  ALTER TABLE archived_intents ADD COLUMN proof_key TEXT;
  `,
  // Orders of a long-term key are found by it: a revocation of that key covers them. Few have one.
  `
  CREATE INDEX intents_proof_key ON intents (proof_key, position) WHERE proof_key IS NOT NULL;
  `,
  // Intents by name and by key, in runs: see sqlite-intent-index.ts.
  `
  CREATE TABLE intents_by_name (
    era INTEGER NOT NULL,
    spiffe_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (era, spiffe_id, position)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE intents_by_key (
    era INTEGER NOT NULL,
    key TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (era, key, position)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE intent_index (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    up_to INTEGER NOT NULL
  ) STRICT;
  INSERT INTO intents_by_name SELECT position >> 15, spiffe_id, position FROM intents
    WHERE spiffe_id IS NOT NULL ORDER BY 1, 2, 3;
  INSERT INTO intents_by_key SELECT position >> 15, substr(spki_hash, 1, 16), position FROM intents
    ORDER BY 1, 2, 3;
  INSERT INTO intent_index SELECT 1, position FROM head;
  DROP INDEX intents_spiffe_id;
  DROP INDEX intents_spki_hash;
  `,
];

type Migration = string | ((database: DatabaseSync) => void);

function trailOfRecords(store: SqliteStore): void {
  for (let position = 0; ; ) {
    // At that step nothing was archived yet.
    const records = store.recordsAfter(position, 1000, recordTablesOf(''));
    for (const record of records) {
      store.trail({ what: 'migrated' }, record);
      position = record.position;
    }
    if (records.length === 0) break;
  }
  store.writeHead();
}
