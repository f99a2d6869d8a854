import { readMessage } from './read-message.ts';

/** `POST /v1/admin/ledger`, on the admin socket: the ledger a page at a time, for audit and backup. */
export interface LedgerReadRequest {
  /** `status` takes no position. */
  readonly read: 'status' | 'records' | 'audit' | 'contradictions';
  /** Position of the record, or number of the audit row, that the page begins behind. Default 0. */
  readonly after: number;
  /** At most so many, 1–1000. Default 1000. */
  readonly limit: number;
}

const mostAtOnce = 1000;

export function parseLedgerReadRequest(json: unknown): LedgerReadRequest {
  return readMessage('ledger request', json, (m) => ({
    read: m.oneOf('read', ['status', 'records', 'audit', 'contradictions']),
    after: m.optional('after', (name) => m.integer(name, { min: 0 })) ?? 0,
    limit:
      m.optional('limit', (name) => m.integer(name, { min: 1, max: mostAtOnce })) ?? mostAtOnce,
  }));
}

export function formatLedgerReadRequest(request: LedgerReadRequest): string {
  const { limit } = request;
  return JSON.stringify({ ...request, limit: Math.min(limit, mostAtOnce) });
}
