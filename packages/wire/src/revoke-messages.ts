import { CountersignError } from '@countersign/base';
import { type RevocationReason, revocationReasons } from '@countersign/x509';
import { serialRule } from './issue-messages.ts';
import { type Members, readMessage } from './read-message.ts';

/** What a revocation names. */
export type RevocationBy = 'serial' | 'spiffe-id' | 'key' | 'provisioner';
export const revocationBys = ['serial', 'spiffe-id', 'key', 'provisioner'] as const;

/** RFC 5280 §5.3.1, as the feed may carry them. */
export const reasonWords = Object.keys(revocationReasons) as readonly RevocationReason[];

/**
 * `POST /v1/revoke`. On the wire exactly one of the members `serial`, `spiffeId`, `key` (SHA-256 of the
 * SubjectPublicKeyInfo, hexadecimal) or `provisioner` says what is meant.
 */
export interface RevokeRequest {
  readonly by: RevocationBy;
  readonly value: string;
  readonly reason: RevocationReason;
  /** Forbid re-enrolment of the same name or key as well. */
  readonly block: boolean;
  /** Answer what would be covered, append nothing. */
  readonly dryRun: boolean;
  /** How long to wait for the gateways' acknowledgements before answering. 0 to 60,000; absent: the authority's default. */
  readonly waitMs?: number;
}

export interface GatewayAcknowledgement {
  readonly id: string;
  readonly spiffeId: string;
  readonly acknowledged: boolean;
  /** Connections that it closed for this revocation. */
  readonly closed: number;
  /** From the append to its acknowledgement; for one that has not acknowledged, how long was waited. */
  readonly ms: number;
  readonly lastSeenMsAgo: number;
  /** When its lease ends unless it is renewed, in milliseconds since the epoch: by then it has failed closed. */
  readonly leaseEndsAt?: number;
}

export interface RevokeResponse {
  /** Ledger position of the record; the present head for a dry run. */
  readonly position: number;
  readonly by: RevocationBy;
  readonly value: string;
  readonly reason: RevocationReason;
  /** Unexpired certificates that it covers. */
  readonly matched: number;
  readonly gateways: readonly GatewayAcknowledgement[];
  readonly closed: number;
  readonly acknowledgedBy: number;
  /** From the append to the last acknowledgement, or as long as was waited. */
  readonly elapsedMs: number;
  readonly dryRun: boolean;
  /** When the earlier record was ordered that is answered instead of a new one, in milliseconds since the epoch. */
  readonly earlierAt?: number;
  /** Present where nothing was ever issued under this SPIFFE ID. */
  readonly neverIssued?: true;
  /** With `neverIssued`: the SPIFFE ID that may have been meant. */
  readonly nearest?: string;
}

const selectors = {
  serial: { by: 'serial', rules: serialRule },
  spiffeId: {
    by: 'spiffe-id',
    rules: { max: 2048, pattern: /^spiffe:\/\/[^\s]+$/, form: 'a SPIFFE ID' },
  },
  key: {
    by: 'key',
    rules: { pattern: /^[0-9a-f]{64}$/, form: 'a SHA-256 in lowercase hexadecimal' },
  },
  provisioner: { by: 'provisioner', rules: { max: 256 } },
} as const;
type Selector = keyof typeof selectors;

/** Reasons that end nothing for good; a ledger of short-lived certificates has no use for them. */
const unsupportedReasons: ReadonlySet<string> = new Set(['certificateHold', 'removeFromCRL']);

/** @throws CountersignError ERR_WIRE_MESSAGE, ERR_WIRE_UNKNOWN_MEMBER, ERR_WIRE_UNSUPPORTED */
export function parseRevokeRequest(json: unknown): RevokeRequest {
  return readMessage('revoke request', json, (m) => {
    const selector = selectorOf(m);
    const reason = m.has('reason') ? m.oneOf('reason', reasonWords) : 'unspecified';
    if (unsupportedReasons.has(reason)) throw unsupported(`reason "${reason}"`);
    const { by, rules } = selectors[selector];
    const waitMs = m.optional('waitMs', (name) => m.integer(name, { min: 0, max: 60_000 }));
    const request = {
      by,
      value: m.text(selector, rules),
      reason,
      block: m.flag('block'),
      dryRun: m.flag('dryRun'),
      ...(waitMs === undefined ? {} : { waitMs }),
    };
    // A relying party cannot see from a certificate alone which provisioner ordered it.
    if (by === 'provisioner') throw unsupported('revocation by provisioner');
    return request;
  });
}

export function formatRevokeRequest(request: RevokeRequest): string {
  const { by, value, ...rest } = request;
  const selector = (Object.keys(selectors) as Selector[]).find((name) => selectors[name].by === by);
  return JSON.stringify({ [selector ?? by]: value, ...rest });
}

export function parseRevokeResponse(json: unknown): RevokeResponse {
  return readMessage(
    'revoke response',
    json,
    (m) => ({
      position: m.integer('position', { min: 0 }),
      by: m.oneOf('by', revocationBys),
      value: m.text('value'),
      reason: m.oneOf('reason', reasonWords),
      matched: m.integer('matched', { min: 0 }),
      gateways: m.list('gateways', { maxItems: 10_000 }, readGateway),
      closed: m.integer('closed', { min: 0 }),
      acknowledgedBy: m.integer('acknowledgedBy', { min: 0 }),
      elapsedMs: m.amount('elapsedMs'),
      dryRun: m.boolean('dryRun'),
      ...(m.has('earlierAt') && { earlierAt: m.amount('earlierAt') }),
      ...(m.flag('neverIssued') && { neverIssued: true as const }),
      ...(m.has('nearest') && { nearest: m.text('nearest', { max: 2048 }) }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatRevokeResponse(response: RevokeResponse): string {
  return JSON.stringify(response);
}

function readGateway(item: unknown, at: string): GatewayAcknowledgement {
  return readMessage(
    `revoke response ${at}`,
    item,
    (m) => ({
      id: m.text('id', { max: 128 }),
      spiffeId: m.text('spiffeId', { max: 2048, min: 0 }),
      acknowledged: m.boolean('acknowledged'),
      closed: m.integer('closed', { min: 0 }),
      ms: m.amount('ms'),
      lastSeenMsAgo: m.amount('lastSeenMsAgo'),
      ...(m.has('leaseEndsAt') && { leaseEndsAt: m.amount('leaseEndsAt') }),
    }),
    { unknown: 'ignore' },
  );
}

function selectorOf(m: Members): Selector {
  const names = Object.keys(selectors) as Selector[];
  const given = names.filter((name) => m.has(name));
  const [only] = given;
  if (only !== undefined && given.length === 1) return only;
  const found = given.length === 0 ? 'none of them is there' : `found ${given.join(' and ')}`;
  throw m.fail(
    only ?? 'serial',
    `is one of ${names.join(', ')}, exactly one is expected; ${found}`,
  );
}

function unsupported(what: string): CountersignError {
  return new CountersignError('ERR_WIRE_UNSUPPORTED', `revoke request: ${what} not supported yet`, {
    fields: { what },
  });
}
