import { hash } from 'node:crypto';
import { toHex } from '@countersign/base';
import type { DocumentMark } from './document-mark.ts';
import type { LedgerRecord } from './ledger.ts';

/**
 * One row of the audit trail: a decision, who asked for it and from where. Each row's hash covers the row before it, and
 * a row about a ledger record covers that record too; every record has exactly one, in the order of positions.
 */
export interface AuditRow {
  /** 1, 2, 3, … */
  readonly seq: number;
  /** The ledger record that it is about. */
  readonly position: number | undefined;
  /** SHA-256 of that record, lowercase hex. */
  readonly record: string | undefined;
  /** {@link AuditSaid} as JSON, exactly as it was hashed. */
  readonly said: string;
  /** SHA-256 over the hash of the row before it and this row's own words, lowercase hex. */
  readonly hash: string;
}

export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** What a row says beyond the record that it is about. Absent where it is not known or the record says it. */
export interface AuditSaid {
  readonly at?: number;
  readonly what?:
    | 'lease'
    | 'release'
    | 'refused'
    | 'migrated'
    | 'rotation'
    | 'entries'
    | 'tokens'
    | 'archived'
    | 'list'
    | 'restored';
  /** SPIFFE ID, `serial …`, `token …`, `operator`, `authority` or `anonymous`. */
  readonly by?: string;
  /** Network address. */
  readonly from?: string;
  /** What was asked for. */
  readonly asked?: string;
  readonly subject?: string;
  readonly provisioner?: string;
  /** Why it was refused. */
  readonly code?: string;
  readonly detail?: string;
  /** Refusals alike that one row stands for. Default 1. */
  readonly count?: number;
  /** The document that was written with it. */
  readonly document?: DocumentMark;
}

export const auditGenesis: AuditHead = { seq: 0, hash: '00'.repeat(32) };

/** The row that follows, about a record or about a decision that left none. */
export function nextAuditRow(head: AuditHead, said: AuditSaid, about?: LedgerRecord): AuditRow {
  const words = {
    seq: head.seq + 1,
    position: about?.position,
    record: about === undefined ? undefined : hashOfRecord(about),
    said: JSON.stringify(said),
  };
  return { ...words, hash: hashOfRow(head.hash, words) };
}

export function hashOfRow(previous: string, row: Omit<AuditRow, 'hash'>): string {
  const { seq, position = null, record = null, said } = row;
  return hash('sha256', JSON.stringify([previous, seq, position, record, said]));
}

/** Of everything that is fixed when a record is written: what redeems a token later is in that intent's own record. */
export function hashOfRecord(record: LedgerRecord): string {
  return hash('sha256', JSON.stringify(wordsOf(record)));
}

function wordsOf(record: LedgerRecord): readonly unknown[] {
  const { kind, position, at } = record;
  const head = [kind, position, at];
  if (kind === 'issued') {
    // Base 16 for the hash of the bytes, so that the whole is text.
    return [...head, record.intent, record.serialHex, hash('sha256', record.der)];
  }
  if (kind === 'abandoned') return [...head, record.intent, record.reason];
  if (kind === 'intent') {
    const { serialHex, spiffeId = null, names, spkiHash, provisioner } = record;
    const { grant, grantedBy = null, issuer, notAfter } = record;
    const asked = [names, spkiHash, provisioner, grant, grantedBy, issuer, notAfter];
    // Behind the rest: what was asked for without one says the same as before there were any.
    const { profile, proofKey } = record;
    const more = proofKey === undefined ? [profile] : [profile ?? null, proofKey];
    return [...head, serialHex, spiffeId, ...asked, ...more.filter((each) => each !== undefined)];
  }
  if (kind === 'token') {
    const { id, secretHash, spiffeId = null, names, provisioner, ttlMs = null, expiresAt } = record;
    return [...head, id, secretHash, spiffeId, names, provisioner, ttlMs, expiresAt];
  }
  const { previous, by, value, reason, block, orderedBy } = record;
  return [...head, previous, by, value, reason, block, orderedBy];
}

/** As databases keep it. */
export function hashBytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex');
}

export function hashText(bytes: unknown): string {
  return bytes instanceof Uint8Array ? toHex(bytes) : '';
}
