import { KeyObject } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import {
  buildCertificateRequest,
  buildName,
  extension,
  formatGeneralName,
  type GeneralName,
  generateKeyPair,
  type KeyKind,
  keySigner,
  parseIpAddress,
} from '@countersign/x509';
import type { OwnRequest } from '../own-request.ts';
import type { CertificateNames } from './issuer.ts';

/** RFC 5280, upper bound of a common name. */
const longestCommonName = 64;

/** A key, new unless there is one, and a request that says the names, as other people's authorities want it. */
export async function makeNamedRequest(
  key: KeyKind | KeyObject,
  names: CertificateNames,
): Promise<OwnRequest> {
  const privateKey = key instanceof KeyObject ? key : (await generateKeyPair(key)).privateKey;
  const commonName = commonNameOf(names);
  const csr = await buildCertificateRequest({
    signer: keySigner(privateKey),
    ...(commonName === undefined
      ? {}
      : { subject: buildName([{ type: 'CN', value: commonName }]) }),
    // RFC 5280 §4.2.1.6: critical where the subject is empty.
    extensions: [extension.subjectAltName(generalNamesOf(names), commonName === undefined)],
  });
  return { privateKey, csr };
}

/** The first DNS name, where it fits: some authorities issue nothing without one. */
export function commonNameOf({ dns }: CertificateNames): string | undefined {
  return dns.find((each) => each.length <= longestCommonName);
}

/** @throws CountersignError ERR_ISSUER_CONFIG for no name at all, or an address that is none */
export function generalNamesOf({ spiffeId, dns, ip }: CertificateNames): GeneralName[] {
  const names: GeneralName[] = [
    ...(spiffeId === undefined ? [] : [{ kind: 'uri' as const, value: spiffeId }]),
    ...dns.map((value) => ({ kind: 'dns' as const, value: value.toLowerCase() })),
    ...ip.map((text) => ({ kind: 'ip' as const, bytes: addressOf(text) })),
  ];
  if (names.length > 0) return names;
  throw new CountersignError('ERR_ISSUER_CONFIG', 'a certificate is to name nobody');
}

/** In one order, so that sets of names can be compared. */
export function namesText(names: readonly GeneralName[]): string {
  return [...new Set(names.map(formatGeneralName))].sort().join(', ');
}

function addressOf(text: string): Uint8Array {
  const bytes = parseIpAddress(text);
  if (bytes !== undefined) return bytes;
  throw new CountersignError('ERR_ISSUER_CONFIG', `"${text.slice(0, 100)}" is no IP address`);
}
