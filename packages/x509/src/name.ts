import { CountersignError } from '@countersign/base';
import { type AttributeTypeName, attributeTypeName, attributeTypeRow } from './attribute-types.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { decodeString, isPrintable, isStringTag } from './string-types.ts';

/** One attribute of a relative distinguished name (RFC 5280 §4.1.2.4). */
export interface AttributeValue {
  /** Dotted. */
  readonly oid: string;
  /** The text, or undefined where the value is no string type. */
  readonly value: string | undefined;
  /** Identifier octet of the value: 0x0c UTF8String, 0x13 PrintableString, 0x16 IA5String… */
  readonly tag: number;
  /** DER of the whole value, a view. */
  readonly raw: Uint8Array;
}

/** A distinguished name, in the order of the encoding (most significant first). */
export interface Name {
  readonly rdns: readonly (readonly AttributeValue[])[];
  readonly raw: Uint8Array;
}

export interface NameAttribute {
  readonly type: AttributeTypeName;
  /** At least one character; at most 64 for most types (RFC 5280 Appendix A.1). */
  readonly value: string;
}

/**
 * A name of one-attribute RDNs in the given order. PrintableString for countries and serial numbers, IA5String for
 * domain components and addresses, UTF8String for all else (RFC 5280 §4.1.2.4).
 *
 * @throws CountersignError ERR_DER_STRING where a value is empty, too long, or has characters its type does not have
 */
export function buildName(attributes: readonly NameAttribute[]): Name {
  const rdns = attributes.map((attribute) =>
    der.setOf(der.sequence(der.oid(attributeTypeRow(attribute.type).oid), encodeValue(attribute))),
  );
  return parseName(der.sequence(...rdns));
}

/** @throws DerError */
export function parseName(bytes: Uint8Array): Name {
  const reader = DerReader.over(bytes, 'name');
  const name = readName(reader, 'name');
  reader.end('name');
  return name;
}

/** Takes a Name from the cursor. */
export function readName(reader: DerReader, what: string): Name {
  const start = reader.offset;
  const inner = reader.sequence(what);
  const rdns: (readonly AttributeValue[])[] = [];
  while (!inner.atEnd) rdns.push(readRdn(inner, what));
  return { rdns, raw: reader.since(start) };
}

/** Takes a RelativeDistinguishedName; `tag` where it is implicitly tagged. */
export function readRdn(reader: DerReader, what: string, tag = 0x31): readonly AttributeValue[] {
  const attributes = reader.setOf(what, tag, (inner) => readAttribute(inner, what));
  if (attributes.length === 0) reader.fail('ERR_DER_VALUE', what, 'empty relative name');
  return attributes;
}

/** RFC 4514: most specific first, `CN=a\, b,O=Example`. */
export function formatName(name: Name): string {
  return [...name.rdns]
    .reverse()
    .map((rdn) => rdn.map(formatAttribute).join('+'))
    .join(',');
}

/** The first value of a type, such as `CN`, or undefined. */
export function attributeOf(name: Name, type: AttributeTypeName): string | undefined {
  const { oid } = attributeTypeRow(type);
  for (const rdn of name.rdns) {
    for (const attribute of rdn) if (attribute.oid === oid) return attribute.value;
  }
  return undefined;
}

function readAttribute(reader: DerReader, what: string): AttributeValue {
  const inner = reader.sequence(what);
  const oid = inner.oid(what);
  const start = inner.offset;
  const tag = inner.nextTag;
  if (!isStringTag(tag)) {
    const raw = inner.any(what);
    inner.end(what);
    return { oid, value: undefined, tag, raw };
  }
  const value = decodeString(tag, inner.octetString(what, tag));
  if (value === undefined) {
    inner.fail('ERR_DER_STRING', what, `value of ${attributeTypeName(oid) ?? oid} is malformed`);
  }
  inner.end(what);
  return { oid, value, tag, raw: inner.since(start) };
}

function encodeValue({ type, value }: NameAttribute): Uint8Array {
  const { string: form, max } = attributeTypeRow(type);
  const length = [...value].length;
  if (length < 1 || length > max || !value.isWellFormed()) {
    refuse(type, value, `has ${length} characters, 1 to ${max} of Unicode are allowed`);
  }
  if (form === undefined) return der.utf8(value);
  if (form === 'printable') {
    return isPrintable(value)
      ? der.printable(value)
      : refuse(type, value, 'has characters outside PrintableString');
  }
  for (const character of value) {
    if (character > '\x7f') refuse(type, value, 'has characters outside ASCII');
  }
  return der.ia5(value);
}

function refuse(type: string, value: string, detail: string): never {
  throw new CountersignError('ERR_DER_STRING', `name attribute ${type} "${value}" ${detail}`, {
    fields: { type, value },
  });
}

// RFC 4514 §2.4: '#' and hexadecimal DER where there is no short name or no text
function formatAttribute({ oid, value, raw }: AttributeValue): string {
  const type = attributeTypeName(oid);
  if (type === undefined || value === undefined) {
    return `${type ?? oid}=#${Buffer.from(raw).toString('hex')}`;
  }
  const escaped = value
    .replace(/[\\"+,;<>]/g, '\\$&')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
    .replace(/[\x00-\x1f\x7f]/g, (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .replace(/(?!^) $/, '\\ ')
    .replace(/^[ #]/, '\\$&');
  return `${type}=${escaped}`;
}
