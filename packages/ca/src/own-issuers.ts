import { hash } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';
import { parseIssuerValue, type RevokeResponse } from '@countersign/wire';
import type { Certificate } from '@countersign/x509';
import { quotedList } from './dns-name.ts';
import type { Issuer } from './issuer.ts';
import type { Ledger, RevocationOrder } from './ledger/ledger.ts';
import { isRelease, mustBlock } from './ledger/revocation-order.ts';
import { configNameOf } from './rotation/rotation-document.ts';

type Statuses = Pick<Ledger, 'certificateStatus'>;

/** Those that can sign for the authority itself: no certificate of their chains is revoked. */
export async function standingIssuers(
  issuers: readonly Issuer[],
  ledger: Statuses,
): Promise<readonly Issuer[]> {
  const standing: Issuer[] = [];
  for (const issuer of issuers) {
    const isWhole = issuer.signsServices && (await revokedIn(issuer.chain, ledger)) === undefined;
    if (isWhole) standing.push(issuer);
  }
  return standing;
}

export async function revokedIn(
  chain: readonly Certificate[],
  ledger: Statuses,
): Promise<Certificate | undefined> {
  for (const certificate of chain) {
    const { status } = await ledger.certificateStatus(certificate.serialHex);
    if (status === 'revoked') return certificate;
  }
  return undefined;
}

/** The refusal of the authority's own certificate where each that could sign it was blocked. */
export function noIssuerLeft({ detail }: Denial, issuers: readonly Issuer[]): Denial {
  const names = quotedList(issuers.filter((each) => each.signsServices).map(({ name }) => name));
  const message = `the authority's own TLS certificate: none is left to sign it of ${names}: ${detail}`;
  return denial('ERR_ROTATION_NO_ISSUER', message);
}

/** What an order does to the certificate that the authority serves with; undefined: nothing. */
export async function ownAffected(
  order: RevocationOrder,
  own: string | undefined,
  issuers: readonly Issuer[],
  ledger: Statuses,
): Promise<RevokeResponse['own']> {
  if (isRelease(order.reason)) return undefined;
  const issuer = issuers.find(
    ({ name, signsServices }) => signsServices && (own === undefined || name === own),
  );
  if (issuer === undefined || !isHit(order, issuer)) return undefined;
  const standing = await standingIssuers(issuers, ledger);
  const next = standing.find((each) => !isHit(order, each));
  return { issuer: issuer.name, ...(next !== undefined && { next: next.name }) };
}

/**
 * Which key of the intermediate signs now, where another of its keys is revoked: what that one signs is not covered.
 * Undefined where there is nothing to tell.
 */
export function keyInForce(
  { by, value, reason }: Pick<RevocationOrder, 'by' | 'value' | 'reason'>,
  issuers: readonly Issuer[],
): string | undefined {
  if (by !== 'issuer' || isRelease(reason)) return undefined;
  const { name } = parseIssuerValue(value);
  const signing = issuers.find((each) => each.name === configNameOf(name))?.ledgerName;
  return signing === name ? undefined : signing;
}

function isHit(order: RevocationOrder, { ledgerName, chain }: Issuer): boolean {
  const { by, value } = order;
  if (by === 'serial') return chain.some((each) => each.serialHex === value);
  if (by === 'key') return chain.some((each) => hash('sha256', each.spki.raw) === value);
  if (by !== 'issuer' || !mustBlock(order)) return false;
  const { name, keys } = parseIssuerValue(value);
  return name === ledgerName || chain.some((each) => keys.includes(hash('sha256', each.spki.raw)));
}
