import { hash } from 'node:crypto';
import { type Clock, type Denial, denial, type Log, nearestWord } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { RevokeResponse } from '@countersign/wire';
import type { RevocationReason } from '@countersign/x509';
import type { AuthorityMetrics } from './authority-metrics.ts';
import type { CaConfig } from './ca-config.ts';
import { canonicalValue, type OrderFacts, type WrittenOrder } from './canonical-order.ts';
import type { Ledger, RevocationOrder } from './ledger/ledger.ts';
import { isRelease } from './ledger/revocation-order.ts';
import { nameOf } from './serve/api-call.ts';
import { Bell } from './serve/bell.ts';
import { type AskEdges, previewRevocation } from './serve/preview-edges.ts';
import { revokeAndWait } from './serve/revoke-and-wait.ts';

/** Who orders it: whoever holds the state, or a peer over mTLS. */
export type Caller =
  | { readonly kind: 'operator' }
  | { readonly kind: 'peer'; readonly peer: VerifiedPeer }
  /** Whoever proved to hold the private key that the order names, or that of the certificate. */
  | { readonly kind: 'key'; readonly spkiHash: string }
  /** Somebody whom an edge for another protocol has found entitled to the one certificate. */
  | { readonly kind: 'door'; readonly name: string };

/** `value`: serial or SHA-256 of a key in hex of either case, a name or key identifier of an issuer, and so on. */
export interface RevokeOrder extends WrittenOrder {
  /** `removeFromCRL` releases what was put on hold by the same value; for operators and administrators, as is a block. */
  readonly reason: RevocationReason;
  /** Answer what would be covered, append nothing. */
  readonly dryRun?: boolean | undefined;
  /** How long to wait for the gateways' acknowledgements. Default 5 s; 0: not at all. */
  readonly waitMs?: number | undefined;
}

export type RevokeAnswer = ({ readonly ok: true } & RevokeResponse) | Denial;

export interface RevokeContext {
  readonly config: CaConfig;
  readonly issuers: OrderFacts['issuers'];
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AuthorityMetrics;
}

export interface EdgeWait {
  /** Rings when a lease was held or released, so that nobody looks in vain. */
  readonly leases?: Bell | undefined;
  /** Ends the wait, not the revocation. */
  readonly signal?: AbortSignal | undefined;
  /** Asks the gateways what an order would cut. Absent: nobody is served, so nobody can be asked. */
  readonly ask?: AskEdges | undefined;
}

const defaultWaitMs = 5000;
/** For what gateways count, which is soon done. */
const longestAskMs = 5000;

/**
 * Revoke and cut, the authority's half: one append, which the feed carries to every edge; then the edges' word that
 * they have applied it. The revocation stands from the append on, whether or not anybody acknowledges.
 *
 * Denials: ERR_REVOKE_FORBIDDEN, ERR_REVOKE_WHOLE_DOMAIN, ERR_POLICY_SPIFFE_ID, ERR_LEDGER_CERTIFICATE_UNKNOWN,
 * ERR_LEDGER_ORDER, ERR_LEDGER_NOT_HELD.
 */
export async function revoke(
  order: RevokeOrder,
  caller: Caller,
  context: RevokeContext,
  wait: EdgeWait = {},
): Promise<RevokeAnswer> {
  const { ledger, clock, log, metrics } = context;

  // 1. What is meant, in one spelling; and who may: the caller's identity decides, not what it says of itself.
  const { trustDomain } = context.config;
  const meant = canonicalValue(order, { trustDomain, issuers: context.issuers });
  if (!meant.ok) return meant;
  const { value } = meant;
  const forbidden = await wrongWithCaller({ ...order, value }, caller, context);
  if (forbidden !== undefined) return forbidden;

  // 2. A dry run ends here.
  const record: RevocationOrder = {
    by: order.by,
    value,
    reason: order.reason,
    block: order.block ?? false,
    orderedBy: nameOf(caller),
  };
  const unknown = await unknownName(ledger, record);
  if (order.dryRun === true) {
    const waitMs = Math.min(order.waitMs ?? longestAskMs, longestAskMs);
    const preview = await previewRevocation(record, { ledger, clock, waitMs, ...wait });
    return preview.ok ? { ...preview, ...countOf(preview), ...unknown } : preview;
  }

  // 3. One append, which the feed carries to every edge; then every live lease acknowledges, or ends because its
  //    gateway failed closed, or the wait is over.
  const { leases = new Bell(), signal } = wait;
  const answer = await revokeAndWait({
    ledger,
    clock,
    leases,
    order: record,
    waitMs: order.waitMs ?? defaultWaitMs,
    ...(signal === undefined ? {} : { signal }),
  });
  if (!answer.ok) return answer;

  // 4. Told to whoever watches.
  const { position, matched, gateways, closed, elapsedMs } = answer;
  const isNew = answer.earlierAt === undefined;
  if (isNew) metrics.revocations.add(1, { by: order.by, reason: order.reason });
  const silent = gateways.filter((gateway) => !gateway.acknowledged).map(({ id }) => id);
  if (isNew && silent.length === 0 && gateways.length > 0) {
    metrics.acknowledgedSeconds.observe(elapsedMs / 1000);
  }
  const { orderedBy } = record;
  const told = { by: order.by, value, reason: order.reason, orderedBy, position, matched, closed };
  const done = isRelease(order.reason) ? 'released' : 'revoked';
  if (silent.length === 0) log.info(told, done);
  else log.warn({ ...told, silent }, `${done}, not acknowledged by every gateway yet`);
  return { ...answer, ...countOf(answer), ...unknown };
}

/** A repeat covers nothing that was not covered before. */
function countOf({ earlierAt, matched }: RevokeResponse): Pick<RevokeResponse, 'matched'> {
  return { matched: earlierAt === undefined ? matched : 0 };
}

/** Names that a misspelt one is compared with: those of the newest certificates. */
const comparedNames = 1000;

/** A name under which nothing was ever issued may be revoked or blocked in advance. Rather, it is misspelt. */
async function unknownName(
  ledger: Ledger,
  { by, value }: RevocationOrder,
): Promise<Pick<RevokeResponse, 'neverIssued' | 'nearest'>> {
  if (by !== 'spiffe-id') return {};
  const own = await ledger.findCertificates({ spiffeId: value, limit: 1 });
  if (own.length > 0) return {};
  const newest = await ledger.findCertificates({ limit: comparedNames });
  const known = new Set(
    newest.flatMap(({ spiffeId }) => (spiffeId === undefined ? [] : [spiffeId])),
  );
  // The trust domain is the same in all of them: what makes a name close is its path.
  const pathOf = (id: string) => id.slice(id.indexOf('/', 'spiffe://'.length) + 1);
  const byPath = new Map([...known].map((id) => [pathOf(id), id]));
  const nearest = byPath.get(nearestWord(pathOf(value), [...byPath.keys()]) ?? '');
  return { neverIssued: true, ...(nearest !== undefined && { nearest }) };
}

async function wrongWithCaller(
  order: RevokeOrder,
  caller: Caller,
  { config, ledger }: RevokeContext,
): Promise<Denial | undefined> {
  if (caller.kind === 'operator') return undefined;
  if (caller.kind === 'door') return wrongWithDoor(order, caller.name);
  const id = caller.kind === 'peer' ? caller.peer.spiffeId?.toString() : undefined;
  if (id !== undefined && config.api.admins.includes(id)) return undefined;
  const who = caller.kind === 'peer' ? (id ?? caller.peer.serialHex) : `key ${caller.spkiHash}`;
  const { by, value, reason, block } = order;
  const refuse = (what: string): Denial =>
    denial('ERR_REVOKE_FORBIDDEN', `"${who}" asks to ${what}`, { caller: who, by, value });
  if (block === true) return refuse('revoke with a block, which is for administrators');
  // Who holds the key of a certificate on hold may be whom it is on hold for.
  if (isRelease(reason)) return refuse('release what is on hold, which is for administrators');
  const isTheirs =
    caller.kind === 'peer'
      ? await isOwn(order, caller.peer, ledger)
      : await isOfKey(order, caller.spkiHash, ledger);
  return isTheirs ? undefined : refuse(`revoke ${by} "${value}", which is not its own`);
}

/** An edge decides who may revoke a certificate, and nothing wider. */
function wrongWithDoor(
  { by, value, reason, block }: RevokeOrder,
  name: string,
): Denial | undefined {
  if (by === 'serial' && block !== true && !isRelease(reason)) return undefined;
  const detail = `"${name}" asks to revoke ${by} "${value}", an edge revokes by serial alone`;
  return denial('ERR_REVOKE_FORBIDDEN', detail, { caller: name, by, value });
}

async function isOfKey(order: RevokeOrder, spkiHash: string, ledger: Ledger): Promise<boolean> {
  if (order.by === 'key') return order.value === spkiHash;
  if (order.by !== 'serial') return false;
  return (await ledger.certificate(order.value))?.spkiHash === spkiHash;
}

async function isOwn(order: RevokeOrder, peer: VerifiedPeer, ledger: Ledger): Promise<boolean> {
  const own = peer.spiffeId?.toString();
  if (order.by === 'spiffe-id') return order.value === own;
  if (order.by === 'key') {
    return order.value === hash('sha256', peer.leaf.spki.raw);
  }
  if (order.by !== 'serial') return false;
  if (order.value === peer.serialHex) return true;
  const certificate = await ledger.certificate(order.value);
  return own !== undefined && certificate?.spiffeId === own;
}
