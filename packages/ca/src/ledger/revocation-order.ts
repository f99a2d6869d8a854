import { type Denial, denial } from '@countersign/base';
import type { RevocationBy, RevocationOrder } from './ledger.ts';

const valueForms: Readonly<Record<RevocationBy, { readonly form: RegExp; readonly say: string }>> =
  {
    serial: { form: /^(?:[0-9a-f]{2}){1,20}$/, say: '1 to 20 octets in lowercase hex' },
    'spiffe-id': { form: /^spiffe:\/\/[^/]+\/.{1,2000}$/, say: 'a SPIFFE ID with a path' },
    key: { form: /^[0-9a-f]{64}$/, say: 'the SHA-256 of a SubjectPublicKeyInfo, 64 hex digits' },
    provisioner: { form: /^.{1,200}$/, say: 'the name of a provisioner' },
  };

export function malformedOrder(order: RevocationOrder): Denial | undefined {
  const { form, say } = valueForms[order.by];
  if (!form.test(order.value)) {
    return denial('ERR_LEDGER_ORDER', `cannot revoke ${order.by} "${order.value}": not ${say}`);
  }
  if (order.by === 'serial' && order.block === true) {
    return denial(
      'ERR_LEDGER_ORDER',
      'block needs a SPIFFE ID, a key or a provisioner: a serial is never issued again anyway',
    );
  }
  return undefined;
}

export function mustBlock(order: RevocationOrder): boolean {
  // CA/Browser Forum BR §6.1.1.3: a key known to be compromised is not certified again.
  return order.block === true || (order.by === 'key' && order.reason === 'keyCompromise');
}
