import { type Denial, denial } from '@countersign/base';
import { type RevocationBy, revocationForms } from '@countersign/wire/revocation-kinds';
import { parseRevocationWindow } from '@countersign/wire/revocation-window';
import type { RevocationReason } from '@countersign/x509';
import { ownProvisioners } from './covers.ts';
import type { RevocationOrder } from './ledger.ts';

export function malformedOrder(order: RevocationOrder): Denial | undefined {
  const { by, value, reason, block } = order;
  const { isOf, say } = revocationForms[by];
  if (!isOf(value)) {
    return denial('ERR_LEDGER_ORDER', `cannot revoke ${by} "${value}": not ${say}`);
  }
  if (isOwnProvisioner(by, value)) {
    const why = 'is the authority itself; an intermediate is revoked by issuer, or by serial';
    return denial('ERR_LEDGER_ORDER', `cannot revoke by ${by}: "${value}" ${why}`);
  }
  if (block !== true) return undefined;
  const senseless = unblockable[by] ?? (isHold(reason) ? 'a hold is not for good' : undefined);
  return senseless === undefined
    ? undefined
    : denial('ERR_LEDGER_ORDER', `cannot block ${by} "${value}": ${senseless}`);
}

/** Kinds of which nothing more can be ordered anyway. */
const unblockable: Readonly<Partial<Record<RevocationBy, string>>> = {
  serial: 'block needs a name, a key, an issuer or a provisioner: a serial is never issued again',
  token: 'a token is redeemed once anyway; block what it was for',
  time: 'that time is over; block by a name, a key, an issuer or a provisioner',
};

function isOwnProvisioner(by: RevocationBy, value: string): boolean {
  if (by === 'provisioner') return ownProvisioners.has(value);
  const and = by === 'time' ? parseRevocationWindow(value)?.and : undefined;
  return and?.by === 'provisioner' && ownProvisioners.has(and.value);
}

export function mustBlock(order: RevocationOrder): boolean {
  const { by, reason, block } = order;
  // CA/Browser Forum BR §6.1.1.3: a key known to be compromised is not certified again, and an issuer's signs no more.
  const isKeyKnown = by === 'key' || by === 'issuer';
  const isCompromised =
    reason === 'keyCompromise' || (by === 'issuer' && reason === 'cACompromise');
  return block === true || (isKeyKnown && isCompromised);
}

/** RFC 5280 §5.3.1: not for good, until it is released or revoked. */
export function isHold(reason: RevocationReason): boolean {
  return reason === 'certificateHold';
}

export function isRelease(reason: RevocationReason): boolean {
  return reason === 'removeFromCRL';
}
