import { hash } from 'node:crypto';
import { type Clock, type Denial, denial, type Log, nearestWord } from '@countersign/base';
import { isReserved, reservedPath, spiffeIdOf, type VerifiedPeer } from '@countersign/spiffe';
import type { RevocationBy, RevokeResponse } from '@countersign/wire';
import type { RevocationReason } from '@countersign/x509';
import type { AuthorityMetrics } from './authority-metrics.ts';
import type { CaConfig } from './ca-config.ts';
import type { Ledger, RevocationOrder } from './ledger/ledger.ts';
import { nameOf } from './serve/api-call.ts';
import { Bell } from './serve/bell.ts';
import { previewRevocation, revokeAndWait } from './serve/revoke-and-wait.ts';

/** Who orders it: whoever holds the state, or a peer over mTLS. */
export type Caller =
  | { readonly kind: 'operator' }
  | { readonly kind: 'peer'; readonly peer: VerifiedPeer };

export interface RevokeOrder {
  readonly by: RevocationBy;
  /** Serial in hex of either case, SPIFFE ID, SHA-256 of the SubjectPublicKeyInfo in hex, or provisioner. */
  readonly value: string;
  readonly reason: RevocationReason;
  /** Forbid re-enrolment as well; for operators and administrators. */
  readonly block?: boolean | undefined;
  /** Answer what would be covered, append nothing. */
  readonly dryRun?: boolean | undefined;
  /** How long to wait for the gateways' acknowledgements. Default 5 s; 0: not at all. */
  readonly waitMs?: number | undefined;
}

export type RevokeAnswer = ({ readonly ok: true } & RevokeResponse) | Denial;

export interface RevokeContext {
  readonly config: CaConfig;
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
}

const defaultWaitMs = 5000;

/**
 * Revoke and cut, the authority's half: one append, which the feed carries to every edge; then the edges' word that
 * they have applied it. The revocation stands from the append on, whether or not anybody acknowledges.
 *
 * Denials: ERR_REVOKE_FORBIDDEN, ERR_POLICY_SPIFFE_ID, ERR_LEDGER_CERTIFICATE_UNKNOWN, ERR_LEDGER_ORDER.
 */
export async function revoke(
  order: RevokeOrder,
  caller: Caller,
  context: RevokeContext,
  wait: EdgeWait = {},
): Promise<RevokeAnswer> {
  const { ledger, clock, log, metrics } = context;

  // 1. Who may: the caller's identity decides, not what it says of itself.
  const value = canonicalValue(order);
  const wrongId = wrongWithSpiffeId({ ...order, value }, context.config.trustDomain);
  if (wrongId !== undefined) return wrongId;
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
    const preview = await previewRevocation(ledger, clock, record);
    return preview.ok ? { ...preview, ...unknown } : preview;
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
  metrics.revocations.add(1, { by: order.by, reason: order.reason });
  const silent = gateways.filter((gateway) => !gateway.acknowledged).map(({ id }) => id);
  if (silent.length === 0 && gateways.length > 0) {
    metrics.acknowledgedSeconds.observe(elapsedMs / 1000);
  }
  const { orderedBy } = record;
  const told = { by: order.by, value, reason: order.reason, orderedBy, position, matched, closed };
  if (silent.length === 0) log.info(told, 'revoked');
  else log.warn({ ...told, silent }, 'revoked, not acknowledged by every gateway yet');
  return { ...answer, ...unknown };
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

/** The one spelling in which the ledger compares: what people paste has capitals, colons and leading zeros. */
function canonicalValue({ by, value }: RevokeOrder): string {
  if (by !== 'serial' && by !== 'key') return value;
  const plain = value.trim().toLowerCase().replaceAll(':', '');
  if (by === 'key') return plain;
  const octets = plain.length % 2 === 0 ? plain : `0${plain}`;
  return octets.replace(/^(?:00)+(?=.)/, '');
}

function wrongWithSpiffeId(
  { by, value, block }: RevokeOrder,
  trustDomain: string,
): Denial | undefined {
  if (by !== 'spiffe-id') return undefined;
  const id = spiffeIdOf(value);
  // What is no SPIFFE ID at all is the ledger's to refuse.
  if (id === undefined) return undefined;
  if (id.trustDomain !== trustDomain) {
    const sides = `is of trust domain "${id.trustDomain}", this authority's is "${trustDomain}"`;
    return denial('ERR_POLICY_SPIFFE_ID', `SPIFFE ID "${value}" ${sides}`, { value });
  }
  // A block is for good: the authority could never again certify itself, and so never serve.
  if (block !== true || !isReserved(id)) return undefined;
  const sides = `cannot be blocked, it is below "${reservedPath}", which names the authority itself`;
  return denial('ERR_POLICY_SPIFFE_ID', `SPIFFE ID "${value}" ${sides}`, { value });
}

async function wrongWithCaller(
  order: RevokeOrder,
  caller: Caller,
  { config, ledger }: RevokeContext,
): Promise<Denial | undefined> {
  if (caller.kind === 'operator') return undefined;
  const { peer } = caller;
  const own = peer.spiffeId?.toString();
  if (own !== undefined && config.api.admins.includes(own)) return undefined;
  const refuse = (what: string): Denial =>
    denial('ERR_REVOKE_FORBIDDEN', `"${own ?? peer.serialHex}" asks to revoke ${what}`, {
      caller: own ?? peer.serialHex,
      by: order.by,
      value: order.value,
    });
  if (order.block === true) return refuse('with a block, which is for administrators');
  return (await isOwn(order, peer, ledger))
    ? undefined
    : refuse(`${order.by} "${order.value}", which is not its own`);
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
