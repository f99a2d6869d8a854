import { open } from 'node:fs/promises';
import { CountersignError } from '@countersign/base';
import { auditLedger, type LedgerAudit } from './audit-ledger.ts';
import type { AuditHead, AuditRow } from './audit-trail.ts';
import type { Ledger, LedgerRecord } from './ledger.ts';
import { type LedgerPages, readRecord, writtenRecord } from './ledger-pages.ts';
import { type AuditVerdict, verifyAudit } from './verify-audit.ts';

export interface LedgerBackup {
  readonly records: number;
  readonly audit: AuditHead;
}

const format = 'countersign-ledger';
const page = 1000;

/**
 * Writes a ledger to a file of JSON lines while it goes on: a head, then records and audit rows as they stood when this
 * began. Records are never changed and only added behind, so whatever stands before a position is one state of all. The
 * file is the same whatever database the ledger is in. Durable when it resolves.
 */
export async function backUpLedger(
  ledger: Omit<LedgerPages, 'openIntents'>,
  file: string,
): Promise<LedgerBackup> {
  await ledger.auditAfter(0, 1);
  const { position, audit } = await ledger.status();
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.write(line({ format, version: 1, position, audit }));
    for (let after = 0; after < position; ) {
      const records = (await ledger.recordsAfter(after, page)).filter(
        (record) => record.position <= position,
      );
      await handle.write(records.map((record) => line({ record: writtenRecord(record) })).join(''));
      after = nextAfter(records.at(-1)?.position, after, 'record');
    }
    for (let after = 0; after < audit.seq; ) {
      const rows = (await ledger.auditAfter(after, page)).filter((row) => row.seq <= audit.seq);
      await handle.write(rows.map((row) => line({ audit: row })).join(''));
      after = nextAfter(rows.at(-1)?.seq, after, 'audit row');
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { records: position, audit };
}

/**
 * Fills an empty ledger with a backup, record by record at its own position, and proves it sound: what must hold of
 * every ledger holds, and the audit trail vouches for every record and ends where the backup says.
 *
 * @throws CountersignError ERR_LEDGER_BACKUP (not such a file, cut short, or not sound), and those of the ledger
 */
export async function restoreLedger(
  file: string,
  ledger: Ledger,
): Promise<{ readonly audit: LedgerAudit; readonly trail: AuditVerdict }> {
  const handle = await open(file, 'r');
  let head: { readonly position: number; readonly audit: AuditHead } | undefined;
  try {
    let records: LedgerRecord[] = [];
    let rows: AuditRow[] = [];
    const write = async (): Promise<void> => {
      if (records.length + rows.length > 0) await ledger.restore(records, rows);
      records = [];
      rows = [];
    };
    for await (const text of handle.readLines({ autoClose: false })) {
      const json = parsed(text, file);
      head ??= headOf(json, file);
      if (json.record !== undefined) records.push(readRecord(json.record));
      if (typeof json.audit === 'object' && json.format === undefined)
        rows.push(json.audit as AuditRow);
      if (records.length + rows.length >= page) await write();
    }
    await write();
  } finally {
    await handle.close();
  }
  if (head === undefined) throw unsound(file, 'it is empty');
  const { position, audit: end } = await ledger.status();
  if (position !== head.position || end.seq !== head.audit.seq || end.hash !== head.audit.hash) {
    const sides = `${position} records and ${end.seq} audit rows, it begins with ${head.position} and ${head.audit.seq}`;
    throw unsound(file, `it ends after ${sides}`);
  }
  await ledger.forgetLostDocuments();
  const audit = await auditLedger(ledger);
  const trail = await verifyAudit(ledger, { expect: head.audit });
  const [finding] = [...audit.findings, ...trail.findings];
  if (finding !== undefined) throw unsound(file, finding);
  return { audit, trail };
}

function nextAfter(last: number | undefined, after: number, what: string): number {
  if (last !== undefined) return last;
  throw new CountersignError('ERR_LEDGER_STATE', `back up the ledger: no ${what} follows ${after}`);
}

function line(json: unknown): string {
  return `${JSON.stringify(json)}\n`;
}

interface Line {
  readonly format?: unknown;
  readonly version?: unknown;
  readonly position?: unknown;
  readonly record?: unknown;
  readonly audit?: unknown;
}

function parsed(text: string, file: string): Line {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null) return json;
  } catch {
    // Said below, without what it may hold.
  }
  throw unsound(file, 'a line of it is no JSON object');
}

function headOf(json: Line, file: string) {
  if (json.format !== format) throw unsound(file, 'it is no backup of a ledger');
  if (json.version !== 1)
    throw unsound(file, `it has version ${json.version}, this reads version 1`);
  return { position: Number(json.position), audit: json.audit as AuditHead };
}

function unsound(file: string, why: string): CountersignError {
  return new CountersignError('ERR_LEDGER_BACKUP', `restore the ledger from "${file}": ${why}`, {
    fields: { file },
  });
}
