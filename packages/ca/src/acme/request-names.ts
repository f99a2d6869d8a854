import {
  attributeOf,
  type CertificateRequest,
  formatGeneralName,
  formatIpAddress,
} from '@countersign/x509';
import { isGrantedKind } from '../certificate-names.ts';
import { formatIdentifier, type Identifier, isDevice } from './acme-objects.ts';
import { deviceIdentifierOf } from './device/attest-device.ts';

/**
 * RFC 8555 §7.4: a request for exactly the identifiers of its order; a common name counts as one of them. Undefined
 * where it is, or what is wrong with it.
 */
export function wrongWithNames(
  csr: CertificateRequest,
  identifiers: readonly Identifier[],
  otherNames: 'refuse' | 'ignore' = 'refuse',
): string | undefined {
  const wanted = identifiers.map(formatIdentifier);
  const found = new Set<string>();
  for (const name of csr.subjectAltNames) {
    if (name.kind === 'dns') found.add(`dns:${name.value.toLowerCase()}`);
    else if (name.kind === 'ip') found.add(`ip:${formatIpAddress(name.bytes)}`);
    else if (wanted.includes(deviceIdentifierOf(name) ?? '')) continue;
    else if (otherNames === 'refuse' || isGrantedKind(name.kind))
      return `the request names "${formatGeneralName(name).slice(0, 200)}", an order has DNS names and IP addresses`;
  }
  const common = attributeOf(csr.subject, 'CN')?.toLowerCase();
  if (common !== undefined) {
    const named = identifiers.find(({ value }) => value.toLowerCase() === common);
    found.add(
      named === undefined ? `common name ${common.slice(0, 100)}` : formatIdentifier(named),
    );
  }
  // draft-ietf-acme-device-attest §3: a request may name its device, and need not
  const missing = identifiers.filter(
    (each) => !isDevice(each) && !found.has(formatIdentifier(each)),
  );
  const beyond = [...found].filter((each) => !wanted.includes(each));
  if (missing.length > 0)
    return `the request lacks "${missing.map(formatIdentifier).join('", "')}" of the order`;
  if (beyond.length > 0) return `the request has "${beyond.join('", "')}", which the order lacks`;
  return undefined;
}
