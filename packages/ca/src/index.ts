export { type Acknowledged, auditLedger, type LedgerAudit } from './ledger/audit-ledger.ts';
export { covers } from './ledger/covers.ts';
export type * from './ledger/ledger.ts';
export { type MemoryLedgerOptions, memoryLedger } from './ledger/memory-ledger.ts';
export { openSqliteLedger, type SqliteLedgerOptions } from './ledger/sqlite-ledger.ts';
