import { hash } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import type { AuditRow } from './audit-trail.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';
import type { SharedDocument } from './rotation-records.ts';

/** What a row of the audit trail says of the document that it is about. */
export interface DocumentMark {
  readonly name: string;
  /** 0: from here on there is none of that name. */
  readonly version: number;
  /** SHA-256 of its body, lowercase hex; empty where there is none. */
  readonly hash: string;
}

/** A document as it stands, and what the newest row of the trail about it says: both of one moment. */
export interface MarkedDocument {
  readonly document: SharedDocument | undefined;
  /** Undefined where the trail names none: it was written before rows did. */
  readonly mark: DocumentMark | undefined;
}

export function markOf({ name, version, body }: SharedDocument): DocumentMark {
  return { name, version, hash: hash('sha256', body) };
}

export function noMark(name: string): DocumentMark {
  return { name, version: 0, hash: '' };
}

export function markOfRow({ said }: Pick<AuditRow, 'said'>): DocumentMark | undefined {
  return said.includes('"document":') ? JSON.parse(said).document : undefined;
}

/** Why a document is not the one that the trail says was written last; undefined where it is. */
export function wrongWithDocument({ document, mark }: MarkedDocument): string | undefined {
  if (mark === undefined) return undefined;
  const of = `document "${mark.name}"`;
  if (document === undefined) {
    return mark.version === 0
      ? undefined
      : `${of}: missing, the audit trail has version ${mark.version}`;
  }
  const found = markOf(document);
  if (found.version !== mark.version) {
    return `${of}: it has version ${found.version}, the audit trail says ${mark.version}`;
  }
  if (found.hash === mark.hash) return undefined;
  return `${of}: version ${found.version} was changed: its hash is "${found.hash}", the audit trail says "${mark.hash}"`;
}

/** @throws CountersignError ERR_LEDGER_TAMPERED */
export function provenDocument(tx: LedgerTransaction, name: string): SharedDocument | undefined {
  const marked = tx.store.document(name);
  const wrong = wrongWithDocument(marked);
  if (wrong === undefined) return marked.document;
  throw new CountersignError('ERR_LEDGER_TAMPERED', wrong, { fields: { document: name } });
}

/** Every document there is or was. @throws CountersignError ERR_LEDGER_TAMPERED */
export function proveDocuments(tx: LedgerTransaction): void {
  for (const name of tx.store.documentNames()) provenDocument(tx, name);
}

/** A backup has the trail, and not the documents: those that are missing are said to be, so that they can be made again. */
export function forgetLostDocuments(tx: LedgerTransaction): void {
  for (const name of tx.store.documentNames()) {
    const { document, mark } = tx.store.document(name);
    if (document !== undefined || mark === undefined || mark.version === 0) continue;
    const detail = `the backup has no document "${name}", the trail has version ${mark.version}`;
    const said = { by: 'operator', asked: 'restore', subject: name, detail } as const;
    tx.store.trail({ at: tx.at, what: 'restored', ...said, document: noMark(name) });
  }
}
