import { hash } from 'node:crypto';
import { type Denial, denial, nearestWord, toHex } from '@countersign/base';
import { isReserved, reservedPath, spiffeIdOf } from '@countersign/spiffe';
import {
  formatIssuerValue,
  formatRevocationWindow,
  parseRevocationWindow,
  type RevocationBy,
} from '@countersign/wire';
import type { Certificate } from '@countersign/x509';

/** What is ordered, as it was written. */
export interface WrittenOrder {
  readonly by: RevocationBy;
  readonly value: string;
  readonly block?: boolean | undefined;
  readonly wholeTrustDomain?: boolean | undefined;
  /** Nothing is revoked, so that the whole trust domain may be meant without saying so. */
  readonly dryRun?: boolean | undefined;
}

export interface OrderFacts {
  readonly trustDomain: string;
  /** Root and intermediates, every key that signed what has not ended. */
  readonly issuers: readonly { readonly name: string; readonly certificate: Certificate }[];
}

export type CanonicalValue = { readonly ok: true; readonly value: string } | Denial;

/**
 * The one spelling in which the ledger and everybody who follows it compare: what people paste has capitals, colons and
 * leading zeros. And whether it is about this authority, and no wider than was said.
 *
 * Denials: ERR_POLICY_SPIFFE_ID, ERR_LEDGER_ORDER, ERR_REVOKE_WHOLE_DOMAIN. What else is malformed is the ledger's to refuse.
 */
export function canonicalValue(order: WrittenOrder, facts: OrderFacts): CanonicalValue {
  const found = spelled(order, facts);
  if (!found.ok) return found;
  const isWhole = coversWholeDomain(order.by, found.value, facts.trustDomain);
  if (isWhole && order.wholeTrustDomain !== true && order.dryRun !== true) {
    const message = `${order.by} "${found.value}" covers the whole trust domain "${facts.trustDomain}"`;
    return denial('ERR_REVOKE_WHOLE_DOMAIN', message, { by: order.by, value: found.value });
  }
  if (!isWhole && order.wholeTrustDomain === true) {
    const message = `${order.by} "${found.value}" does not cover the whole trust domain, which was asked for`;
    return denial('ERR_LEDGER_ORDER', message);
  }
  return found;
}

function spelled(order: WrittenOrder, facts: OrderFacts): CanonicalValue {
  const { by, value } = order;
  if (by === 'spiffe-id') return spiffeId(order, facts);
  if (by === 'spiffe-prefix') return prefix(value, facts);
  if (by === 'issuer') return issuer(value, facts);
  if (by === 'time') return window(order, facts);
  if (by !== 'serial' && by !== 'key') return { ok: true, value };
  const plain = value.trim().toLowerCase().replaceAll(':', '');
  if (by === 'key') return { ok: true, value: plain };
  const octets = plain.length % 2 === 0 ? plain : `0${plain}`;
  return { ok: true, value: octets.replace(/^(?:00)+(?=.)/, '') };
}

function spiffeId({ value, block }: WrittenOrder, { trustDomain }: OrderFacts): CanonicalValue {
  const id = spiffeIdOf(value);
  // What is no SPIFFE ID at all is the ledger's to refuse.
  if (id === undefined) return { ok: true, value };
  if (id.trustDomain !== trustDomain)
    return foreign('SPIFFE ID', value, id.trustDomain, trustDomain);
  // A block is for good: the authority could never again certify itself, and so never serve.
  if (block !== true || !isReserved(id)) return { ok: true, value };
  const sides = `cannot be blocked, it is below "${reservedPath}", which names the authority itself`;
  return denial('ERR_POLICY_SPIFFE_ID', `SPIFFE ID "${value}" ${sides}`, { value });
}

/** Whole segments: `…/ns/prod` and `…/ns/prod/` are the same, and neither is `…/ns/production`. */
function prefix(value: string, { trustDomain }: OrderFacts): CanonicalValue {
  const name = value.replace(/\/$/, '');
  const id = spiffeIdOf(name);
  if (id === undefined) {
    const what = `"${value}" is no beginning of SPIFFE IDs, such as "spiffe://${trustDomain}/ns/prod/"`;
    return denial('ERR_POLICY_SPIFFE_ID', what, { value });
  }
  if (id.trustDomain !== trustDomain) return foreign('prefix', value, id.trustDomain, trustDomain);
  if (!isReserved(id)) return { ok: true, value: `${name}/` };
  const sides = `is below "${reservedPath}", which names the authority itself`;
  return denial('ERR_POLICY_SPIFFE_ID', `prefix "${value}" ${sides}`, { value });
}

function issuer(value: string, { issuers }: OrderFacts): CanonicalValue {
  const asked = value.trim();
  const plain = asked.toLowerCase().replaceAll(':', '');
  const found = issuers.find(
    ({ name, certificate }) =>
      name === asked || plain === keyIdOf(certificate) || plain === keyHashOf(certificate),
  );
  if (found === undefined) {
    const names = issuers.map(({ name }) => name).filter((name) => name !== 'root');
    const nearest = nearestWord(asked, names);
    const meant =
      nearest === undefined
        ? `there are ${names.map(quoted).join(', ')}`
        : `did you mean "${nearest}"`;
    return denial('ERR_LEDGER_ORDER', `there is no issuer "${value}", ${meant}`, { value });
  }
  if (found.name === 'root') {
    const why =
      'everything ends with it: take it out of the trust bundle with root rotation instead';
    return denial('ERR_LEDGER_ORDER', `the root cannot be revoked: ${why}`);
  }
  const { name, certificate } = found;
  return { ok: true, value: formatIssuerValue({ name, keys: [keyHashOf(certificate)] }) };
}

function window(order: WrittenOrder, facts: OrderFacts): CanonicalValue {
  const parsed = parseRevocationWindow(order.value);
  if (parsed?.and === undefined) return { ok: true, value: order.value };
  const { by } = parsed.and;
  const and = spelled({ by, value: parsed.and.value }, facts);
  if (!and.ok) return and;
  return { ok: true, value: formatRevocationWindow({ ...parsed, and: { by, value: and.value } }) };
}

function coversWholeDomain(by: RevocationBy, value: string, trustDomain: string): boolean {
  if (by === 'spiffe-prefix') return value === `spiffe://${trustDomain}/`;
  if (by !== 'time') return false;
  const and = parseRevocationWindow(value)?.and;
  return and === undefined || coversWholeDomain(and.by, and.value, trustDomain);
}

function foreign(what: string, value: string, theirs: string, ours: string): Denial {
  const sides = `is of trust domain "${theirs}", this authority's is "${ours}"`;
  return denial('ERR_POLICY_SPIFFE_ID', `${what} "${value}" ${sides}`, { value });
}

function keyIdOf({ subjectKeyId }: Certificate): string | undefined {
  return subjectKeyId === undefined ? undefined : toHex(subjectKeyId);
}

function keyHashOf({ spki }: Certificate): string {
  return hash('sha256', spki.raw);
}

function quoted(name: string): string {
  return `"${name}"`;
}
