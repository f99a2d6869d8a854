import { hash } from 'node:crypto';
import { NameFailure } from './names.ts';
import type { Claim, Found, Look } from './validators.ts';

/** RFC 8555 §8.4, and dns-account-01, whose name is the account's own. */
export async function lookAtDns(claim: Claim, { names }: Look): Promise<Found> {
  const host = `${labelOf(claim)}_acme-challenge.${claim.identifier.value}`;
  const wanted = hash('sha256', claim.keyAuthorization, 'base64url');
  let texts: readonly string[];
  try {
    texts = await names.texts(host);
  } catch (thrown) {
    if (!(thrown instanceof NameFailure)) throw thrown;
    return { type: 'dns', detail: thrown.message, again: true };
  }
  if (texts.includes(wanted)) return undefined;
  const found = texts.slice(0, 3).map((each) => `"${each.slice(0, 60)}"`);
  const sides = `has ${found.length === 0 ? 'no text' : found.join(', ')}, expected "${wanted}"`;
  return { type: 'unauthorized', detail: `TXT of "${host}" ${sides}`, again: true };
}

/** draft-ietf-acme-dns-account-label §3.2: the first ten octets of the account URL's hash, in Base32. */
function labelOf({ type, account }: Claim): string {
  if (type !== 'dns-account-01') return '';
  return `_${base32(hash('sha256', account, 'buffer').subarray(0, 10))}.`;
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 §6, lowercase; its input is a multiple of five octets. */
function base32(octets: Uint8Array): string {
  const bits = [...octets].map((each) => each.toString(2).padStart(8, '0')).join('');
  const groups = bits.match(/.{5}/g) ?? [];
  return groups.map((group) => alphabet[Number.parseInt(group, 2)]).join('');
}
