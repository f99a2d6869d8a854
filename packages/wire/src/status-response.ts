import { readMessage } from './read-message.ts';

export interface IntermediateStatus {
  readonly name: string;
  /** SHA-256 of its DER, lowercase hexadecimal. */
  readonly fingerprint: string;
  readonly notAfter: number;
}

/** A gateway that holds a lease. */
export interface GatewayStatus {
  readonly id: string;
  readonly spiffeId: string;
  /** Up to which revocation it has acknowledged. */
  readonly position: number;
  readonly lastSeenMsAgo: number;
}

/** `GET /v1/status`, for who holds a certificate: it names the gateways, which is no business of strangers. */
export interface StatusResponse {
  readonly version: string;
  readonly trustDomain: string;
  readonly rootFingerprint: string;
  readonly ledger: {
    /** Position of the newest record of any kind. */
    readonly position: number;
    /** Position of the newest revocation, 0 when there is none. */
    readonly revocationPosition: number;
    readonly issued: number;
    readonly revoked: number;
  };
  readonly gateways: readonly GatewayStatus[];
  readonly intermediates: readonly IntermediateStatus[];
  readonly uptimeMs: number;
}

const fingerprint = { pattern: /^[0-9a-f]{64}$/, form: 'a SHA-256 in lowercase hexadecimal' };
const tolerant = { unknown: 'ignore' } as const;

export function parseStatusResponse(json: unknown): StatusResponse {
  return readMessage(
    'status response',
    json,
    (m) => ({
      version: m.text('version', { max: 64 }),
      trustDomain: m.text('trustDomain', { max: 255 }),
      rootFingerprint: m.text('rootFingerprint', fingerprint),
      ledger: readLedger(m.object('ledger')),
      gateways: m.list('gateways', { maxItems: 10_000 }, readGateway),
      intermediates: m.list('intermediates', { maxItems: 1000 }, readIntermediate),
      uptimeMs: m.amount('uptimeMs'),
    }),
    tolerant,
  );
}

export function formatStatusResponse(response: StatusResponse): string {
  return JSON.stringify(response);
}

function readLedger(json: unknown): StatusResponse['ledger'] {
  return readMessage(
    'status response ledger',
    json,
    (m) => ({
      position: m.integer('position', { min: 0 }),
      revocationPosition: m.integer('revocationPosition', { min: 0 }),
      issued: m.integer('issued', { min: 0 }),
      revoked: m.integer('revoked', { min: 0 }),
    }),
    tolerant,
  );
}

function readGateway(item: unknown, at: string): GatewayStatus {
  return readMessage(
    `status response ${at}`,
    item,
    (m) => ({
      id: m.text('id', { max: 128 }),
      spiffeId: m.text('spiffeId', { max: 2048, min: 0 }),
      position: m.integer('position', { min: 0 }),
      lastSeenMsAgo: m.amount('lastSeenMsAgo'),
    }),
    tolerant,
  );
}

function readIntermediate(item: unknown, at: string): IntermediateStatus {
  return readMessage(
    `status response ${at}`,
    item,
    (m) => ({
      name: m.text('name', { max: 256 }),
      fingerprint: m.text('fingerprint', fingerprint),
      notAfter: m.integer('notAfter', { min: 0 }),
    }),
    tolerant,
  );
}
