import { oids } from './oids.ts';

interface AttributeType {
  readonly oid: string;
  /** The string type that X.520 asks for where it is not DirectoryString. */
  readonly string?: 'printable' | 'ia5';
  /** RFC 4514 §3 has a short name for it; others are written as dotted OIDs there. */
  readonly rfc4514?: true;
}

/** Attribute types of names (RFC 5280 Appendix A, RFC 4519), by the short names that people write. */
export const attributeTypes = {
  CN: { oid: '2.5.4.3', rfc4514: true },
  SN: { oid: '2.5.4.4' },
  serialNumber: { oid: '2.5.4.5', string: 'printable' },
  C: { oid: '2.5.4.6', string: 'printable', rfc4514: true },
  L: { oid: '2.5.4.7', rfc4514: true },
  ST: { oid: '2.5.4.8', rfc4514: true },
  STREET: { oid: '2.5.4.9', rfc4514: true },
  O: { oid: '2.5.4.10', rfc4514: true },
  OU: { oid: '2.5.4.11', rfc4514: true },
  title: { oid: '2.5.4.12' },
  GN: { oid: '2.5.4.42' },
  dnQualifier: { oid: '2.5.4.46', string: 'printable' },
  uniqueIdentifier: { oid: '2.5.4.45' },
  pseudonym: { oid: '2.5.4.65' },
  organizationIdentifier: { oid: '2.5.4.97' },
  UID: { oid: '0.9.2342.19200300.100.1.1', rfc4514: true },
  DC: { oid: '0.9.2342.19200300.100.1.25', string: 'ia5', rfc4514: true },
  emailAddress: { oid: oids.emailAddress, string: 'ia5' },
} as const satisfies Record<string, AttributeType>;

export type AttributeTypeName = keyof typeof attributeTypes;

const namesByOid = new Map<string, AttributeTypeName>(
  Object.entries(attributeTypes).map(([name, row]) => [row.oid, name as AttributeTypeName]),
);

/** `CN`, `O`, `emailAddress`…, or undefined. */
export function attributeTypeName(oid: string): AttributeTypeName | undefined {
  return namesByOid.get(oid);
}

export function attributeTypeRow(name: AttributeTypeName): AttributeType {
  return attributeTypes[name];
}
