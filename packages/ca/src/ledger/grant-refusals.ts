import { timingSafeEqual } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';
import { parseIssuerValue } from '@countersign/wire/revocation-kinds';
import type {
  CoveredFacts,
  Grant,
  OrderedFacts,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from './ledger.ts';
import { factsOf } from './ledger-store.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';
import { coveringRevocation, standing, standingWide } from './standing-revocations.ts';

/*
 * Why the ledger refuses an order: what is blocked, and grants that are spent, ended, or older than a revocation of what
 * they ask for.
 */

/** What a requester asks for, as far as revocations can name it. */
interface Wanted {
  readonly spiffeId: string | undefined;
  readonly spkiHash: string | undefined;
  readonly provisioner: string | undefined;
  /** Of the long-term key that signed the order. */
  readonly proofKey?: string | undefined;
  /** Name of the one that is going to sign. */
  readonly issuer?: string;
}

type Shown = { readonly ok: true; readonly facts: OrderedFacts } | Denial;

/** A certificate that was issued here. Denials: ERR_LEDGER_CERTIFICATE_UNKNOWN. */
export function issuedFacts(
  tx: LedgerTransaction,
  serialHex: string,
  what = 'the certificate to renew',
): Shown {
  const intent = tx.store.intentBySerial(serialHex);
  if (intent === undefined || tx.store.outcomeOf(intent.position) !== 'issued') {
    return denial(
      'ERR_LEDGER_CERTIFICATE_UNKNOWN',
      `${what}, serial "${serialHex}", was never issued here`,
    );
  }
  return { ok: true, facts: factsOf(intent) };
}

/** Denials: ERR_LEDGER_BLOCKED. */
export function blockOf(tx: LedgerTransaction, wanted: Wanted): Denial | undefined {
  for (const [by, value] of revocable(wanted)) {
    const block = tx.store.blockingRevocation(by, value);
    if (block !== undefined) return blockedBy(block);
  }
  const wide = wideBlockOf(tx, wanted);
  return wide && blockedBy(wide);
}

/** The newest revocation that blocks, of those that are compared with everything. */
export function wideBlockOf(
  tx: LedgerTransaction,
  wanted: Pick<Wanted, 'spiffeId' | 'issuer'>,
): RevocationRecord | undefined {
  const { spiffeId, issuer } = wanted;
  return standingWide(tx).findLast(({ by, value, block }) => {
    if (!block) return false;
    if (by === 'spiffe-prefix') return spiffeId?.startsWith(value) === true;
    return by === 'issuer' && parseIssuerValue(value).name === issuer;
  });
}

function blockedBy({ by, value, position, reason }: RevocationRecord): Denial {
  return denial(
    'ERR_LEDGER_BLOCKED',
    `${by} "${value}" is blocked by the revocation at position ${position}, reason ${reason}`,
    { by, value, position, reason },
  );
}

/** Denials: ERR_TOKEN_*. */
export function refusalOfToken(
  tx: LedgerTransaction,
  grant: Extract<Grant, { kind: 'token' }>,
  wanted: Wanted,
): Denial | undefined {
  const token = tx.store.token(grant.id);
  // An unknown id costs the same comparison and answers the same words as a wrong secret.
  const matches = sameHash(token?.secretHash ?? '0'.repeat(64), grant.secretHash);
  if (token === undefined || !matches) {
    return denial('ERR_TOKEN_UNKNOWN', `token "${grant.id}" is unknown or its secret is wrong`);
  }
  if (token.spentBy !== undefined) {
    return denial(
      'ERR_TOKEN_SPENT',
      `token "${token.id}" was redeemed by the intent at position ${token.spentBy}`,
    );
  }
  if (token.expiresAt <= tx.at) {
    return denial(
      'ERR_TOKEN_EXPIRED',
      `token "${token.id}" ended at ${iso(token.expiresAt)}, now is ${iso(tx.at)}`,
      { expiresAt: token.expiresAt, now: tx.at },
    );
  }
  const later = revokedSince(tx, wanted, token.position) ?? standing(tx, 'token', token.id).at(-1);
  if (later === undefined) return undefined;
  const { by, value, position } = later;
  return denial(
    'ERR_TOKEN_VOID',
    `token "${token.id}" was created at position ${token.position}, ${by} "${value}" was revoked at ${position}`,
    { by, value, token: token.position, revocation: position },
  );
}

/** Whether nothing was revoked since that would have a token refused. */
export function isRedeemable(tx: LedgerTransaction, token: TokenRecord): boolean {
  const { spiffeId, provisioner, position, id } = token;
  const wanted = { spiffeId, provisioner, spkiHash: undefined };
  return revokedSince(tx, wanted, position) === undefined && standing(tx, 'token', id).length === 0;
}

/** Denials: ERR_LEDGER_REVOKED, ERR_LEDGER_NEEDS_TOKEN. */
export function refusalOfRenewal(
  tx: LedgerTransaction,
  renewed: CoveredFacts,
  wanted: Wanted,
): Denial | undefined {
  const covered = refusalOfCovered(tx, renewed, 'the certificate to renew');
  if (covered !== undefined) return covered;
  const later = revokedSince(tx, wanted, renewed.position);
  if (later === undefined) return undefined;
  const { by, value, position } = later;
  return denial(
    'ERR_LEDGER_NEEDS_TOKEN',
    `${by} "${value}" was revoked at position ${position}, the certificate to renew was ordered at ${renewed.position}`,
    { by, value, revocation: position, renewed: renewed.position },
  );
}

/** What was ordered with a long-term key is renewed with that key. Denials: ERR_PROOF_MISSING, ERR_PROOF_OTHER. */
export function refusalOfProof(
  { serialHex, proofKey: wanted }: OrderedFacts,
  found: string | undefined,
): Denial | undefined {
  if (wanted === undefined || wanted === found) return undefined;
  const whose = `the certificate to renew, serial "${serialHex}", belongs to proof key "${wanted}"`;
  if (found === undefined) {
    return denial('ERR_PROOF_MISSING', `${whose}, which has not signed this request`);
  }
  return denial('ERR_PROOF_OTHER', `${whose}, the request is signed by "${found}"`);
}

/** A revocation of what is asked for that is newer than the grant. */
function revokedSince(
  tx: LedgerTransaction,
  wanted: Wanted,
  since: number,
): RevocationRecord | undefined {
  for (const [by, value] of revocable(wanted)) {
    const newest = standing(tx, by, value).at(-1);
    if (newest !== undefined && newest.position >= since) return newest;
  }
  const { spiffeId } = wanted;
  return standingWide(tx).findLast(
    ({ by, value, position }) =>
      by === 'spiffe-prefix' && position >= since && spiffeId?.startsWith(value) === true,
  );
}

/** Denials: ERR_LEDGER_CERTIFICATE_UNKNOWN, ERR_LEDGER_REVOKED. */
export function refusalOfRegistrar(tx: LedgerTransaction, serialHex: string): Denial | undefined {
  const what = "the registrar's certificate";
  const shown = issuedFacts(tx, serialHex, what);
  return shown.ok ? refusalOfCovered(tx, shown.facts, what) : shown;
}

function refusalOfCovered(
  tx: LedgerTransaction,
  certificate: CoveredFacts,
  what: string,
): Denial | undefined {
  const covering = coveringRevocation(tx, certificate);
  if (covering === undefined) return undefined;
  const { by, value, position, reason } = covering;
  const sides = `is covered by the revocation of ${by} "${value}" at position ${position}`;
  return denial('ERR_LEDGER_REVOKED', `${what}, serial "${certificate.serialHex}", ${sides}`, {
    by,
    position,
    reason,
  });
}

function revocable(wanted: Wanted): readonly (readonly [RevocationBy, string])[] {
  const named: (readonly [RevocationBy, string])[] = [];
  if (wanted.spiffeId !== undefined) named.push(['spiffe-id', wanted.spiffeId]);
  if (wanted.spkiHash !== undefined) named.push(['key', wanted.spkiHash]);
  if (wanted.proofKey !== undefined) named.push(['key', wanted.proofKey]);
  if (wanted.provisioner !== undefined) named.push(['provisioner', wanted.provisioner]);
  return named;
}

function sameHash(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')];
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
