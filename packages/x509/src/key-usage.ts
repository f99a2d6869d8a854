/** Bit numbers of RFC 5280 §4.2.1.3, in order. */
export const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

export type KeyUsage = (typeof keyUsages)[number];

/** Purposes by the names of RFC 5280 §4.2.1.12. */
export const extKeyUsages = {
  anyExtendedKeyUsage: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  OCSPSigning: '1.3.6.1.5.5.7.3.9',
} as const;

export type ExtKeyUsage = keyof typeof extKeyUsages;

const namesByOid = new Map<string, string>(
  Object.entries(extKeyUsages).map(([name, oid]) => [oid, name]),
);

/** The name where there is one, the dotted OID otherwise. */
export function extKeyUsageName(oid: string): string {
  return namesByOid.get(oid) ?? oid;
}

/** The dotted OID of a name or of itself. */
export function extKeyUsageOid(nameOrOid: string): string {
  return isExtKeyUsage(nameOrOid) ? extKeyUsages[nameOrOid] : nameOrOid;
}

export function isExtKeyUsage(text: string): text is ExtKeyUsage {
  return Object.hasOwn(extKeyUsages, text);
}
