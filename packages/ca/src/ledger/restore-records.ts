import { CountersignError } from '@countersign/base';
import type { AuditRow } from './audit-trail.ts';
import type { LedgerRecord } from './ledger.ts';
import type { LedgerStore } from './ledger-store.ts';

/** One page of a backup, as it is: see `Ledger.restore`. Everything is checked before anything is written. */
export function restoreRecords(
  store: LedgerStore,
  records: readonly LedgerRecord[],
  rows: readonly AuditRow[],
): void {
  const { position } = store.status();
  const { seq } = store.auditHead();
  const record = records.find((each, i) => each.position !== position + i + 1);
  if (record !== undefined) throw outOfOrder(`record ${record.position}`, position);
  const row = rows.find((each, i) => each.seq !== seq + i + 1);
  if (row !== undefined) throw outOfOrder(`audit row ${row.seq}`, seq);
  for (const each of records) {
    store.nextPosition();
    restorers[each.kind](store, each as never);
  }
  for (const each of rows) store.addAudit(each);
}

const restorers: {
  readonly [K in LedgerRecord['kind']]: (
    store: LedgerStore,
    record: Extract<LedgerRecord, { kind: K }>,
  ) => void;
} = {
  intent(store, record) {
    store.addIntent(record);
    if (record.grant === 'token') store.spendToken(record.grantedBy ?? '', record.position);
  },
  issued: (store, record) => store.addIssued(record),
  abandoned: (store, record) => store.addAbandoned(record),
  revocation: (store, record) => store.addRevocation(record),
  // The intent that redeemed it stands behind it.
  token: (store, record) => store.addToken({ ...record, spentBy: undefined }),
};

function outOfOrder(what: string, newest: number): CountersignError {
  return new CountersignError(
    'ERR_LEDGER_BACKUP',
    `${what} of the backup does not follow ${newest}, the newest that is there`,
  );
}
