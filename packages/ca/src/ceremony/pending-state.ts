import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import type { LedgerOfState } from '../ledger/open-ledger.ts';
import { type StateManifest, stateLayout } from '../state-layout.ts';

/** What a data directory says of itself while it waits for the certificates of an offline root: `init.json`. */
export interface PendingState {
  readonly trustDomain: string;
  /** SHA-256 of the root's DER, lowercase hex. */
  readonly rootFingerprint: string;
  readonly seal: StateManifest['seal'];
  readonly ledger?: LedgerOfState;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly requests: readonly PendingRequest[];
}

export interface PendingRequest {
  /** Of the intermediate. */
  readonly name: string;
  /** Position of its intent in the ledger. */
  readonly intent: number;
  readonly serialHex: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

const format = 'countersign-init';

export function formatPendingState(state: PendingState): string {
  return `${JSON.stringify({ format, version: 1, ...state }, undefined, 2)}\n`;
}

/** Undefined where nothing waits. @throws CountersignError ERR_STATE_BROKEN */
export async function readPendingState(directory: string): Promise<PendingState | undefined> {
  const file = stateLayout(directory).pending;
  try {
    const json = JSON.parse(await readFile(file, 'utf8'));
    if (json?.format !== format || json.version !== 1 || !Array.isArray(json.requests)) {
      throw new TypeError('it is no init of countersign that waits');
    }
    return json;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}
