import { oids } from './oids.ts';

interface AttributeType {
  readonly oid: string;
  /** The string type that X.520 asks for where it is not DirectoryString. */
  readonly string?: 'printable' | 'ia5';
  /** Characters, RFC 5280 Appendix A.1. */
  readonly max: number;
}

/** Attribute types of names (RFC 5280 Appendix A, RFC 4519), by the short names that people write. */
export const attributeTypes = {
  CN: { oid: '2.5.4.3', max: 64 },
  SN: { oid: '2.5.4.4', max: 64 },
  serialNumber: { oid: '2.5.4.5', max: 64, string: 'printable' },
  C: { oid: '2.5.4.6', max: 2, string: 'printable' },
  L: { oid: '2.5.4.7', max: 128 },
  ST: { oid: '2.5.4.8', max: 128 },
  STREET: { oid: '2.5.4.9', max: 128 },
  O: { oid: '2.5.4.10', max: 64 },
  OU: { oid: '2.5.4.11', max: 64 },
  title: { oid: '2.5.4.12', max: 64 },
  GN: { oid: '2.5.4.42', max: 64 },
  dnQualifier: { oid: '2.5.4.46', max: 64, string: 'printable' },
  uniqueIdentifier: { oid: '2.5.4.45', max: 64 },
  pseudonym: { oid: '2.5.4.65', max: 128 },
  organizationIdentifier: { oid: '2.5.4.97', max: 256 },
  UID: { oid: '0.9.2342.19200300.100.1.1', max: 256 },
  DC: { oid: '0.9.2342.19200300.100.1.25', max: 63, string: 'ia5' },
  emailAddress: { oid: oids.emailAddress, max: 255, string: 'ia5' },
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
