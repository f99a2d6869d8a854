import { fromBase64, toBase64 } from '@countersign/base';
import {
  type AuthorityClient,
  type LedgerReadRequest,
  parseLedgerReadRequest,
} from '@countersign/wire';
import type { AuditRow } from './audit-trail.ts';
import type { Contradictions } from './checks/contradictions.ts';
import type { Ledger, LedgerRecord, LedgerStatus } from './ledger.ts';

/** What audit and backup read of a ledger: records and rows a page at a time, and where both end. */
export type LedgerPages = Pick<
  Ledger,
  'status' | 'recordsAfter' | 'auditAfter' | 'contradictions' | 'openIntents'
>;

/**
 * Answers a page of the ledger to whoever holds the admin socket, as JSON.
 *
 * @throws CountersignError ERR_WIRE_MESSAGE, and those of the ledger
 */
export async function answerLedgerRead(ledger: Ledger, json: unknown): Promise<string> {
  const { read, after, limit } = parseLedgerReadRequest(json);
  if (read === 'audit') return JSON.stringify(await ledger.auditAfter(after, limit));
  if (read === 'records') {
    return JSON.stringify((await ledger.recordsAfter(after, limit)).map(writtenRecord));
  }
  if (read === 'contradictions') return JSON.stringify(await ledger.contradictions(after, limit));
  return JSON.stringify(await ledger.status());
}

/** The ledger of the authority that serves, read over its admin socket. */
export function ledgerOverSocket(client: AuthorityClient): Omit<LedgerPages, 'openIntents'> {
  const read = async <T>(what: LedgerReadRequest['read'], after: number, limit: number) =>
    (await client.readLedger({ read: what, after, limit })) as T;
  return {
    status: () => read<LedgerStatus>('status', 0, 1),
    async recordsAfter(position, limit) {
      const written = await read<unknown[]>('records', position, limit);
      return written.map(readRecord);
    },
    auditAfter: (seq, limit) => read<AuditRow[]>('audit', seq, limit),
    contradictions: (above, limit) => read<Contradictions>('contradictions', above, limit),
  };
}

/** A record as JSON: bytes in base64. */
export function writtenRecord(record: LedgerRecord): unknown {
  return record.kind === 'issued' ? { ...record, der: toBase64(record.der) } : record;
}

/** What {@link writtenRecord} wrote. Its writer is this program; whether it is true is the audit trail's to say. */
export function readRecord(json: unknown): LedgerRecord {
  const record = json as LedgerRecord & { readonly der?: unknown };
  if (record.kind !== 'issued') return record;
  return { ...record, der: fromBase64(String(record.der)) ?? new Uint8Array() };
}
