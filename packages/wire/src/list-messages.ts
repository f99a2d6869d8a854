import { toBase64 } from '@countersign/base';
import { readMessage } from './read-message.ts';

/** A revocation list that was signed elsewhere, for the authority to publish. */
export interface ImportListRequest {
  /** DER, in base64 on the wire. */
  readonly list: Uint8Array;
}

export interface ImportListResponse {
  readonly issuer: string;
  /** Below `publish.url`. */
  readonly path: string;
  /** Decimal digits. */
  readonly number: string;
  readonly nextUpdate: number;
  /** Whether it was imported before. */
  readonly repeated: boolean;
  /** Serials on it, lowercase hexadecimal, that the ledger has not revoked: edges that follow the feed do not know of them. */
  readonly untold: readonly string[];
}

const mostBytes = 1 << 20;

export function parseImportListRequest(json: unknown): ImportListRequest {
  return readMessage('import list request', json, (m) => ({ list: m.bytes('list', mostBytes) }));
}

export function formatImportListRequest({ list }: ImportListRequest): string {
  return JSON.stringify({ list: toBase64(list) });
}

export function parseImportListResponse(json: unknown): ImportListResponse {
  return readMessage(
    'import list response',
    json,
    (m) => ({
      issuer: m.text('issuer', { max: 256 }),
      path: m.text('path', { max: 512 }),
      number: m.text('number', { pattern: /^\d{1,48}$/, form: 'a number' }),
      nextUpdate: m.integer('nextUpdate', { min: 0 }),
      repeated: m.boolean('repeated'),
      untold: m.listOfTexts('untold', { maxItems: 100_000 }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatImportListResponse(response: ImportListResponse): string {
  return JSON.stringify(response);
}
