import { type RevocationReason, revocationReasons } from '@countersign/x509';
import { serialRule } from './issue-messages.ts';
import { type Members, readMessage } from './read-message.ts';
import { type RevocationBy, revocationBys } from './revocation-kinds.ts';
import {
  formatRevocationWindow,
  parseRevocationWindow,
  type WindowedBy,
  windowedBys,
} from './revocation-window.ts';

/** RFC 5280 §5.3.1, as the feed may carry them. */
export const reasonWords = Object.keys(revocationReasons) as readonly RevocationReason[];

/**
 * `POST /v1/revoke`. On the wire one of the members `serial`, `spiffeId`, `spiffePrefix`, `key` (SHA-256 of the
 * SubjectPublicKeyInfo, hexadecimal), `issuer` (an intermediate's name, or its key identifier or the SHA-256 of its key),
 * `provisioner` or `token` (its id) says what is meant; `issuedAfter` and `issuedBefore` (milliseconds since the epoch)
 * narrow it to what was ordered then, or stand alone.
 */
export interface RevokeRequest {
  readonly by: RevocationBy;
  /** Of kind `time`: as `formatRevocationWindow` writes it, what else is named in the words of the request. */
  readonly value: string;
  /** `removeFromCRL` releases what was revoked by the same value with `certificateHold`. */
  readonly reason: RevocationReason;
  /** Forbid re-enrolment of the same name, key, issuer or provisioner as well. */
  readonly block: boolean;
  /** Answer what would be covered, append nothing. */
  readonly dryRun: boolean;
  /** Needed where neither a name nor a key nor anything else but time limits what is covered. */
  readonly wholeTrustDomain?: true;
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
  /** Of a dry run: how many connections it holds that would be cut. Absent where it did not say. */
  readonly wouldClose?: number;
  /** Of a dry run: why it did not say. */
  readonly unsaid?: string;
}

export interface RevokeResponse {
  /** Ledger position of the record; the present head for a dry run. */
  readonly position: number;
  readonly by: RevocationBy;
  readonly value: string;
  readonly reason: RevocationReason;
  /** Unexpired certificates that it covers; 0 where an earlier record is answered. */
  readonly matched: number;
  readonly gateways: readonly GatewayAcknowledgement[];
  readonly closed: number;
  readonly acknowledgedBy: number;
  /** From the append to the last acknowledgement, or as long as was waited. */
  readonly elapsedMs: number;
  readonly dryRun: boolean;
  /** Of a dry run: connections that would be cut, at the gateways that said so. */
  readonly wouldClose?: number;
  /** When the earlier record was ordered that is answered instead of a new one, in milliseconds since the epoch. */
  readonly earlierAt?: number;
  /**
   * Present where the certificate that the authority serves with hangs on what is revoked: the intermediate that signed it,
   * and the one that signs the next; without one, the authority cannot start again before an intermediate has a new key.
   */
  readonly own?: { readonly issuer: string; readonly next?: string };
  /** Of an intermediate's key that does not sign now: name of the one that does, whose certificates are not covered. */
  readonly inForce?: string;
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
  spiffePrefix: {
    by: 'spiffe-prefix',
    rules: { max: 2048, pattern: /^spiffe:\/\/[^\s]+$/, form: 'a beginning of SPIFFE IDs' },
  },
  key: {
    by: 'key',
    rules: { pattern: /^[0-9a-f]{64}$/, form: 'a SHA-256 in lowercase hexadecimal' },
  },
  issuer: { by: 'issuer', rules: { max: 256 } },
  provisioner: { by: 'provisioner', rules: { max: 2048 } },
  token: {
    by: 'token',
    rules: { pattern: /^[0-9a-f]{16}$/, form: 'the id of a join token, 16 hex digits' },
  },
} as const;
type Selector = keyof typeof selectors;

/** The last moment that has four digits for its year. */
const latestMoment = Date.UTC(10_000, 0, 1) - 1;

/** @throws CountersignError ERR_WIRE_MESSAGE, ERR_WIRE_UNKNOWN_MEMBER */
export function parseRevokeRequest(json: unknown): RevokeRequest {
  return readMessage('revoke request', json, (m) => {
    const moment = (name: string) => m.integer(name, { min: 0, max: latestMoment });
    const after = m.optional('issuedAfter', moment);
    const before = m.optional('issuedBefore', moment);
    const isWindowed = after !== undefined || before !== undefined;
    const named = namedIn(m, isWindowed);
    const waitMs = m.optional('waitMs', (name) => m.integer(name, { min: 0, max: 60_000 }));
    return {
      ...(isWindowed ? windowed(m, { after, before }, named) : needed(m, named)),
      reason: m.has('reason') ? m.oneOf('reason', reasonWords) : 'unspecified',
      block: m.flag('block'),
      dryRun: m.flag('dryRun'),
      ...(m.flag('wholeTrustDomain') && { wholeTrustDomain: true as const }),
      ...(waitMs === undefined ? {} : { waitMs }),
    };
  });
}

export function formatRevokeRequest(request: RevokeRequest): string {
  const { by, value, ...rest } = request;
  if (by !== 'time') return JSON.stringify({ ...selected(by, value), ...rest });
  const { after, before, and } = parseRevocationWindow(value) ?? {};
  return JSON.stringify({
    ...(and !== undefined && selected(and.by, and.value)),
    ...(after !== undefined && { issuedAfter: after }),
    ...(before !== undefined && { issuedBefore: before }),
    ...rest,
  });
}

function selected(by: RevocationBy, value: string): Readonly<Record<string, string>> {
  const selector = (Object.keys(selectors) as Selector[]).find((name) => selectors[name].by === by);
  return { [selector ?? by]: value };
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
      ...(m.has('wouldClose') && { wouldClose: m.integer('wouldClose', { min: 0 }) }),
      ...(m.has('earlierAt') && { earlierAt: m.amount('earlierAt') }),
      ...(m.has('own') && { own: readOwn(m.object('own')) }),
      ...(m.has('inForce') && { inForce: m.text('inForce', { max: 64 }) }),
      ...(m.flag('neverIssued') && { neverIssued: true as const }),
      ...(m.has('nearest') && { nearest: m.text('nearest', { max: 2048 }) }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatRevokeResponse(response: RevokeResponse): string {
  return JSON.stringify(response);
}

function readOwn(json: unknown): NonNullable<RevokeResponse['own']> {
  return readMessage(
    'revoke response own',
    json,
    (m) => ({
      issuer: m.text('issuer', { max: 64 }),
      ...(m.has('next') && { next: m.text('next', { max: 64 }) }),
    }),
    { unknown: 'ignore' },
  );
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
      ...(m.has('wouldClose') && { wouldClose: m.integer('wouldClose', { min: 0 }) }),
      ...(m.has('unsaid') && { unsaid: m.text('unsaid', { max: 500 }) }),
    }),
    { unknown: 'ignore' },
  );
}

interface Named {
  readonly selector: Selector;
  readonly by: Exclude<RevocationBy, 'time'>;
  readonly value: string;
}

function namedIn(m: Members, isWindowed: boolean): Named | undefined {
  const names = Object.keys(selectors) as Selector[];
  const given = names.filter((name) => m.has(name));
  const [selector] = given;
  if (given.length > 1 || (selector === undefined && !isWindowed)) {
    const found = given.length === 0 ? 'none of them is there' : `found ${given.join(' and ')}`;
    throw m.fail(
      selector ?? 'serial',
      `is one of ${names.join(', ')}, exactly one is expected; ${found}`,
    );
  }
  if (selector === undefined) return undefined;
  const { by, rules } = selectors[selector];
  return { selector, by, value: m.text(selector, rules) };
}

function needed(m: Members, named: Named | undefined): Pick<RevokeRequest, 'by' | 'value'> {
  if (named !== undefined) return { by: named.by, value: named.value };
  throw m.fail('serial', 'is missing');
}

function windowed(
  m: Members,
  window: { readonly after: number | undefined; readonly before: number | undefined },
  named: Named | undefined,
): Pick<RevokeRequest, 'by' | 'value'> {
  const { after, before } = window;
  if (named !== undefined && !isWindowedBy(named.by)) {
    throw m.fail(named.selector, 'names one certificate, whenever it was issued');
  }
  if (after !== undefined && before !== undefined && after >= before) {
    throw m.fail('issuedAfter', `is ${after}, expected less than issuedBefore ${before}`);
  }
  const and = named === undefined ? undefined : { by: named.by as WindowedBy, value: named.value };
  return {
    by: 'time',
    value: formatRevocationWindow({
      ...(after !== undefined && { after }),
      ...(before !== undefined && { before }),
      ...(and !== undefined && { and }),
    }),
  };
}

function isWindowedBy(by: RevocationBy): by is WindowedBy {
  return (windowedBys as readonly RevocationBy[]).includes(by);
}
