import { readMessage } from './read-message.ts';
import {
  type CertificateState,
  type ListStateOfAuthority,
  type LogState,
  type OwnState,
  type RetentionOfLedger,
  type SignerState,
  type StatusFinding,
  statusParts,
} from './status-parts.ts';

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
  /** How long it goes on without news; an older authority does not say. */
  readonly maxSilenceMs?: number | undefined;
}

/**
 * `GET /v1/status`, for who holds a certificate. Operators (`api.admins`, the admin socket) are told everything; others
 * how the authority is, its public certificates, the leases that they hold themselves, and how their own certificate is.
 */
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
    readonly openIntents?: number | undefined;
    /** The newest row of the audit trail: its number, and its hash in lowercase hexadecimal. */
    readonly audit?: { readonly seq: number; readonly hash: string } | undefined;
  };
  readonly gateways: readonly GatewayStatus[];
  readonly intermediates: readonly IntermediateStatus[];
  /** 0 where nobody serves. */
  readonly uptimeMs: number;
  /** The members from here on are missing from an older authority. Root and intermediates, the root first. */
  readonly certificates?: readonly CertificateState[] | undefined;
  readonly signers?: readonly SignerState[] | undefined;
  readonly lists?: readonly ListStateOfAuthority[] | undefined;
  readonly log?: LogState | undefined;
  readonly retention?: RetentionOfLedger | undefined;
  readonly findings?: readonly StatusFinding[] | undefined;
  /** For who is no operator: its own certificate, and the members above that are of operators are missing. */
  readonly own?: OwnState | undefined;
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
      ...given({
        certificates: statusParts.certificates(m),
        signers: statusParts.signers(m),
        lists: statusParts.lists(m),
        log: statusParts.log(m),
        retention: statusParts.retention(m),
        findings: statusParts.findings(m),
        own: statusParts.own(m),
      }),
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
      ...given({
        openIntents: m.optional('openIntents', (name) => m.integer(name, { min: 0 })),
        audit: m.optional('audit', (name) => readAuditHead(m.object(name))),
      }),
    }),
    tolerant,
  );
}

function readAuditHead(json: unknown): { readonly seq: number; readonly hash: string } {
  return readMessage(
    'status response audit',
    json,
    (m) => ({ seq: m.integer('seq', { min: 0 }), hash: m.text('hash', fingerprint) }),
    tolerant,
  );
}

/** Without the members that are not there. */
function given<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
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
      ...given({ maxSilenceMs: m.optional('maxSilenceMs', (name) => m.amount(name)) }),
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
