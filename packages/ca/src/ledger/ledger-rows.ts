import type { SQLOutputValue } from 'node:sqlite';
import type { RevocationReason } from '@countersign/x509';
import { type AuditRow, hashText } from './audit-trail.ts';
import { wideBys } from './covers.ts';
import type {
  AbandonedRecord,
  Acknowledgement,
  CertificateRecord,
  IntentRecord,
  IssuedRecord,
  Lease,
  LedgerRecord,
  LedgerStatus,
  LoggedCertificate,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from './ledger.ts';
import type { CoveredRange } from './ledger-store.ts';
import type { NumberedList } from './list-numbers.ts';
import type { BundleHolder, LiveCertificate, SharedDocument } from './rotation-records.ts';

/** Rows of the tables to records, one function a table. The database is ours alone, so its words are trusted. */
export type Row = Record<string, SQLOutputValue>;

export interface Head {
  position: number;
  revocation: number;
  intents: number;
  issued: number;
  abandoned: number;
  revocations: number;
  tokens: number;
  audit: number;
  /** Of the newest row of the audit trail, lowercase hex. */
  auditHash: string;
}

export type Counter = Exclude<keyof Head, 'auditHash'>;

export function headOf(row: Row): Head {
  return {
    position: Number(row.position),
    revocation: Number(row.revocation),
    intents: Number(row.intents),
    issued: Number(row.issued),
    abandoned: Number(row.abandoned),
    revocations: Number(row.revocations),
    tokens: Number(row.tokens),
    audit: Number(row.audit),
    auditHash: hashText(row.audit_hash),
  };
}

export function intentOf(row: Row): IntentRecord {
  return { kind: 'intent', position: Number(row.position), at: Number(row.at), ...saidOf(row) };
}

export const selectCertificates = `SELECT i.*, c.position AS issued_position, c.at AS issued_at, c.der
  FROM certificates AS c JOIN intents AS i ON i.position = c.intent`;

export const selectArchivedCertificates = `SELECT i.*, c.position AS issued_position, c.at AS issued_at, c.der
  FROM archived_certificates AS c JOIN archived_intents AS i ON i.position = c.intent`;

export function outcomeOf({ outcome }: Row): 'issued' | 'abandoned' | undefined {
  return outcome === 'issued' || outcome === 'abandoned' ? outcome : undefined;
}

export function certificateOf(row: Row): CertificateRecord {
  return {
    ...saidOf(row),
    intent: Number(row.position),
    position: Number(row.issued_position),
    issuedAt: Number(row.issued_at),
    der: bytesOf(row.der),
  };
}

/** With the serial of its intent. */
export function issuedOf(row: Row): IssuedRecord {
  return {
    kind: 'issued',
    position: Number(row.position),
    at: Number(row.at),
    intent: Number(row.intent),
    serialHex: String(row.serial),
    der: bytesOf(row.der),
  };
}

export function loggedOf(row: Row): LoggedCertificate {
  return { position: Number(row.position), der: bytesOf(row.der) };
}

export function abandonedOf(row: Row): AbandonedRecord {
  return {
    kind: 'abandoned',
    position: Number(row.position),
    at: Number(row.at),
    intent: Number(row.intent),
    reason: String(row.reason),
  };
}

export function statusOf(head: Head): LedgerStatus {
  const { position, revocation, intents, issued, abandoned, revocations, tokens } = head;
  return {
    position,
    revocationPosition: revocation,
    issued,
    abandoned,
    openIntents: intents - issued - abandoned,
    revocations,
    tokens,
    audit: { seq: head.audit, hash: head.auditHash },
  };
}

export function auditOf(row: Row): AuditRow {
  return {
    seq: Number(row.seq),
    position: numberOf(row.position),
    record: row.record === null ? undefined : hashText(row.record),
    said: String(row.said),
    hash: hashText(row.hash),
  };
}

export function numberedListOf(row: Row): NumberedList {
  return { number: String(row.number), position: Number(row.position) };
}

export function tokenOf(row: Row): TokenRecord {
  return {
    kind: 'token',
    position: Number(row.position),
    at: Number(row.at),
    id: String(row.id),
    secretHash: String(row.secret_hash),
    spiffeId: textOf(row.spiffe_id),
    names: JSON.parse(String(row.names)),
    provisioner: String(row.provisioner),
    ttlMs: numberOf(row.ttl_ms),
    expiresAt: Number(row.expires_at),
    spentBy: numberOf(row.spent_by),
  };
}

export function revocationOf(row: Row): RevocationRecord {
  return {
    kind: 'revocation',
    position: Number(row.position),
    previous: Number(row.previous),
    at: Number(row.at),
    by: String(row.by_what) as RevocationBy,
    value: String(row.value),
    reason: String(row.reason) as RevocationReason,
    block: row.block === 1,
    orderedBy: String(row.ordered_by),
  };
}

export function documentOf(row: Row): SharedDocument {
  return { name: String(row.name), version: Number(row.version), body: String(row.body) };
}

export function holderOf(row: Row): BundleHolder {
  return {
    intent: Number(row.intent),
    instance: String(row.instance),
    digest: String(row.digest),
    at: Number(row.at),
  };
}

/** An intent, with what its holder said in `digest` and `heard_at`. */
export function liveOf(row: Row): LiveCertificate {
  const { kind: _, ...intent } = intentOf(row);
  const digest = textOf(row.digest);
  return {
    ...intent,
    holder: digest === undefined ? undefined : { digest, at: Number(row.heard_at) },
  };
}

export function leaseOf(row: Row): Lease {
  return {
    instance: String(row.instance),
    spiffeId: String(row.spiffe_id),
    maxSilenceMs: Number(row.max_silence_ms),
    lastSeen: Number(row.last_seen),
    expiresAt: Number(row.expires_at),
    position: Number(row.position),
    closed: Number(row.closed),
  };
}

export function acknowledgementOf(row: Row): Acknowledgement {
  return {
    instance: String(row.instance),
    spiffeId: String(row.spiffe_id),
    position: Number(row.position),
    at: Number(row.at),
    closed: Number(row.closed),
    kept: Number(row.kept),
    elapsedMs: Number(row.elapsed_ms),
  };
}

/** Where records live, the archive too; `select` ends with the position's column, for `> ?`; column 1 is the position. */
export const recordTables: readonly RecordTable[] = ['', 'archived_'].flatMap(recordTablesOf);

export interface RecordTable {
  readonly select: string;
  readonly recordOf: (row: Row) => LedgerRecord;
}

/** @param its how the names of the tables begin */
export function recordTablesOf(its: string): RecordTable[] {
  return [
    { select: `SELECT * FROM ${its}intents WHERE position`, recordOf: intentOf },
    { select: `SELECT * FROM ${its}tokens WHERE position`, recordOf: tokenOf },
    { select: `SELECT * FROM ${its}revocations WHERE position`, recordOf: revocationOf },
    {
      select: `SELECT c.position, c.intent, c.at, c.der, i.serial FROM ${its}certificates AS c
      JOIN ${its}intents AS i ON i.position = c.intent WHERE c.position`,
      recordOf: issuedOf,
    },
    {
      select: `SELECT position, intent, at, reason FROM ${its}abandoned WHERE position`,
      recordOf: abandonedOf,
    },
  ];
}

/** Conditions on the table of revocations. */
export const isFinal = "reason NOT IN ('certificateHold', 'removeFromCRL')";
export const isWide = `by_what IN (${wideBys.map((by) => `'${by}'`).join(', ')})`;

export const columnFor: Readonly<Record<CoveredRange['by'], string>> = {
  'spiffe-id': 'spiffe_id',
  key: 'spki_hash',
  'proof-key': 'proof_key',
  provisioner: 'provisioner',
};

function saidOf(row: Row) {
  return {
    serialHex: String(row.serial),
    spiffeId: textOf(row.spiffe_id),
    names: JSON.parse(String(row.names)) as string[],
    spkiHash: String(row.spki_hash),
    provisioner: String(row.provisioner),
    grant: String(row.grant_kind) as IntentRecord['grant'],
    grantedBy: textOf(row.granted_by),
    issuer: String(row.issuer),
    notAfter: Number(row.not_after),
    profile: textOf(row.profile),
    proofKey: textOf(row.proof_key),
  };
}

/** Every column that an intent has in the archive too: rows are moved by name. */
export const intentColumns =
  'position, at, serial, spiffe_id, names, spki_hash, provisioner, grant_kind, granted_by, issuer, not_after, profile, proof_key';

function textOf(value: SQLOutputValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function numberOf(value: SQLOutputValue | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

function bytesOf(value: SQLOutputValue | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}
