import { authorityPath } from '@countersign/spiffe';
import { ownProvisioners } from '../ledger/covers.ts';
import type { Ledger, TokenRecord } from '../ledger/ledger.ts';
import type { LiveCertificate } from '../ledger/rotation-records.ts';

/** Somebody who lacks the new trust bundle, or whose certificate leads to the old key. */
export interface Holder {
  readonly kind: 'workload' | 'gateway' | 'token';
  /** The first name of a certificate or token without a SPIFFE ID. */
  readonly name: string;
  readonly serial: string | undefined;
  /** The process, of a gateway; the id, of a token. */
  readonly instance: string | undefined;
  /** When it was last heard, or issued its certificate, in milliseconds since the epoch. */
  readonly lastSeen: number;
  /** When its certificate ends, or its lease, or it can be redeemed no more. */
  readonly until: number;
}

export interface Uptake {
  /** Workloads by their certificates, and gateways by their leases. */
  readonly holders: number;
  readonly holding: number;
  /** From 0 to 1; 1 where there is nobody. */
  readonly share: number;
  readonly lacking: readonly Holder[];
}

export interface Living {
  /** Certificates, and join tokens among them. */
  readonly count: number;
  readonly tokens: number;
  readonly until: number | undefined;
  readonly holders: readonly Holder[];
}

const page = 500;

/**
 * Who holds the trust bundle of this digest: whoever said so, and whoever was given it beside a certificate and has not
 * said otherwise. A certificate that was renewed does not count any more: its successor does.
 *
 * @param since when the bundle came into force everywhere
 */
export async function measureUptake(
  ledger: Ledger,
  digest: string,
  since: number,
  trustDomain: string,
): Promise<Uptake> {
  const lacking: Holder[] = [];
  let holders = 0;
  for (const certificate of await usedCertificates(ledger, trustDomain, wasReplaced)) {
    holders += 1;
    const { grant, at, holder } = certificate;
    // Who ordered through these has no other way to the bundle than the order's answer.
    const isForOthers = ['operator', 'registrar', 'door'].includes(grant);
    const isGiven = at > since && (isForOthers || holder === undefined);
    if (holder?.digest !== digest && !isGiven) lacking.push(workloadOf(certificate));
  }
  const [leases, reports] = await Promise.all([ledger.leases(), ledger.leaseHolders()]);
  for (const { instance, spiffeId, lastSeen, expiresAt } of leases) {
    holders += 1;
    if (reports.some((each) => each.instance === instance && each.digest === digest)) continue;
    const gateway = { kind: 'gateway', name: spiffeId, serial: undefined } as const;
    lacking.push({ ...gateway, instance, lastSeen, until: expiresAt });
  }
  const holding = holders - lacking.length;
  return { holders, holding, share: holders === 0 ? 1 : holding / holders, lacking };
}

/**
 * Certificates in use for which `leads` says that they lead to a key, and join tokens for which `pins` says that they pin
 * it: whoever redeems one knows the authority by that root alone.
 */
export async function livingUnder(
  ledger: Ledger,
  trustDomain: string,
  leads: (certificate: LiveCertificate) => boolean,
  pins: (token: TokenRecord) => boolean,
): Promise<Living> {
  const found = (await usedCertificates(ledger, trustDomain, wasHeardOf)).filter(leads);
  const tokens = (await redeemableTokens(ledger)).filter(pins);
  const holders = [...tokens.map(tokenHolder), ...found.map(workloadOf)];
  return {
    count: holders.length,
    tokens: tokens.length,
    until: holders.length === 0 ? undefined : holders.reduce((a, b) => Math.max(a, b.until), 0),
    holders,
  };
}

async function redeemableTokens(ledger: Ledger): Promise<TokenRecord[]> {
  const all: TokenRecord[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { tokens, next } = await ledger.openTokens(after, page);
    all.push(...tokens);
    after = next;
  }
  return all;
}

/** Whether the holder of a certificate has moved on to what it was renewed to. */
type MovedOn = (successor: LiveCertificate, before: LiveCertificate) => boolean;

const wasHeardOf: MovedOn = (successor) => successor.holder !== undefined;

/**
 * The successor counts in its place, heard of or not. Unless the one before was heard of again: then the answer with the
 * successor may have been lost, and its holder goes on with what it had.
 */
const wasReplaced: MovedOn = (successor, before) =>
  successor.holder !== undefined ||
  (successor.notAfter >= before.notAfter && (before.holder?.at ?? 0) <= successor.at);

/**
 * Certificates of services that are neither over nor revoked, newest first, without those whose holder has moved on. The
 * authority replaces its own by itself.
 */
async function usedCertificates(
  ledger: Ledger,
  trustDomain: string,
  movedOn: MovedOn,
): Promise<LiveCertificate[]> {
  const all: LiveCertificate[] = [];
  const domain = `spiffe://${trustDomain}`;
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { certificates, next } = await ledger.liveCertificates(after, page);
    for (const each of certificates) {
      const isOwn =
        authorities.has(each.provisioner) || each.spiffeId === `${domain}${authorityPath}`;
      if (!isOwn) all.push(each);
    }
    after = next;
  }
  const successors = new Map<string, LiveCertificate[]>();
  const left = new Set<LiveCertificate>();
  return all.reverse().filter((each) => {
    const { serialHex, grant, grantedBy } = each;
    const isLeft = successors.get(serialHex)?.some((next) => left.has(next) || movedOn(next, each));
    if (isLeft === true) left.add(each);
    if (grant === 'renewal' && grantedBy !== undefined) {
      const before = serialIn(grantedBy);
      const others = successors.get(before);
      if (others === undefined) successors.set(before, [each]);
      else others.push(each);
    }
    return isLeft !== true;
  });
}

/** Of certificates that the authority orders for itself. */
const authorities: ReadonlySet<string> = new Set([...ownProvisioners, 'ocsp']);

function tokenHolder({ id, spiffeId, names, at, expiresAt }: TokenRecord): Holder {
  const name = spiffeId ?? names[0] ?? id;
  return { kind: 'token', name, serial: undefined, instance: id, lastSeen: at, until: expiresAt };
}

function workloadOf({ spiffeId, names, serialHex, holder, at, notAfter }: LiveCertificate): Holder {
  return {
    kind: 'workload',
    name: spiffeId ?? names[0] ?? serialHex,
    serial: serialHex,
    instance: undefined,
    lastSeen: holder?.at ?? at,
    until: notAfter,
  };
}

/** What vouched for a renewal: the serial that was renewed, and perhaps more behind it. */
function serialIn(grantedBy: string): string {
  return grantedBy.split(' ', 1)[0] ?? grantedBy;
}
