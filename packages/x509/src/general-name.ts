import { CountersignError } from '@countersign/base';
import type { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { formatIpAddress } from './ip-address.ts';
import { formatName, type Name, readName } from './name.ts';
import { contextConstructed, contextTag } from './tags.ts';

/** RFC 5280 §4.2.1.6. In a name constraint `ip` carries address and mask: 8 or 32 bytes. */
export type GeneralName =
  | { readonly kind: 'dns'; readonly value: string }
  | { readonly kind: 'email'; readonly value: string }
  | { readonly kind: 'uri'; readonly value: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'registeredId'; readonly oid: string }
  /** `value` is the DER of what stands inside the explicit [0]. */
  | { readonly kind: 'otherName'; readonly oid: string; readonly value: Uint8Array }
  /** `raw` is the whole element, its tag included. */
  | { readonly kind: 'x400' | 'ediParty'; readonly raw: Uint8Array };

export type GeneralNameKind = GeneralName['kind'];

/** Takes one GeneralName. Texts are IA5 and no more is promised of them: who matches names checks their syntax. */
export function readGeneralName(reader: DerReader, what: string): GeneralName {
  const read = readers.get(reader.nextTag);
  if (read === undefined) reader.fail('ERR_DER_TAG', what, 'no kind of general name');
  return read(reader, what);
}

/** Takes GeneralNames, of which there is at least one. */
export function readGeneralNames(reader: DerReader, what: string, tag?: number): GeneralName[] {
  const inner = reader.sequenceOfSome(what, tag);
  const names: GeneralName[] = [];
  while (!inner.atEnd) names.push(readGeneralName(inner, what));
  return names;
}

/** @throws CountersignError ERR_DER_STRING where a text is empty or not ASCII, ERR_DER_VALUE for an address of another length */
export function encodeGeneralName(name: GeneralName): Uint8Array {
  switch (name.kind) {
    case 'email':
      return der.context(1, asciiOf(name));
    case 'dns':
      return der.context(2, asciiOf(name));
    case 'uri':
      return der.context(6, asciiOf(name));
    case 'ip':
      return der.context(7, checkedAddress(name.bytes));
    case 'directory':
      return der.explicit(4, name.name.raw);
    case 'registeredId':
      return der.context(8, der.oid(name.oid).subarray(2));
    case 'otherName':
      return der.explicit(0, der.oid(name.oid), der.explicit(0, name.value));
    case 'x400':
    case 'ediParty':
      return name.raw;
  }
}

/** `dns:a.example`, `ip:10.0.0.1`, `uri:spiffe://…`, `email:…`, `directory:CN=…`, `otherName:1.2.3:04…`. */
export function formatGeneralName(name: GeneralName): string {
  switch (name.kind) {
    case 'dns':
    case 'email':
    case 'uri':
      return `${name.kind}:${name.value}`;
    case 'ip':
      return `ip:${formatIpAddress(name.bytes)}`;
    case 'directory':
      return `directory:${formatName(name.name)}`;
    case 'registeredId':
      return `registeredId:${name.oid}`;
    case 'otherName':
      return `otherName:${name.oid}:${Buffer.from(name.value).toString('hex')}`;
    case 'x400':
    case 'ediParty':
      return `${name.kind}:${Buffer.from(name.raw).toString('hex')}`;
  }
}

type ReadGeneralName = (reader: DerReader, what: string) => GeneralName;

const readers: ReadonlyMap<number, ReadGeneralName> = new Map<number, ReadGeneralName>([
  [contextConstructed(0), readOtherName],
  [contextTag(1), (reader, what) => ({ kind: 'email', value: reader.ia5(what, contextTag(1)) })],
  [contextTag(2), (reader, what) => ({ kind: 'dns', value: reader.ia5(what, contextTag(2)) })],
  [contextConstructed(3), (reader, what) => ({ kind: 'x400', raw: reader.any(what) })],
  [contextConstructed(4), readDirectoryName],
  [contextConstructed(5), (reader, what) => ({ kind: 'ediParty', raw: reader.any(what) })],
  [contextTag(6), (reader, what) => ({ kind: 'uri', value: reader.ia5(what, contextTag(6)) })],
  [
    contextTag(7),
    (reader, what) => ({ kind: 'ip', bytes: reader.octetString(what, contextTag(7)) }),
  ],
  [
    contextTag(8),
    (reader, what) => ({ kind: 'registeredId', oid: reader.oid(what, contextTag(8)) }),
  ],
]);

function readOtherName(reader: DerReader, what: string): GeneralName {
  const inner = reader.constructed(what, contextConstructed(0));
  const oid = inner.oid(what);
  const explicit = inner.constructed(what, contextConstructed(0));
  const value = explicit.any(what);
  explicit.end(what);
  inner.end(what);
  return { kind: 'otherName', oid, value };
}

function readDirectoryName(reader: DerReader, what: string): GeneralName {
  const inner = reader.constructed(what, contextConstructed(4));
  const name = readName(inner, what);
  inner.end(what);
  return { kind: 'directory', name };
}

function asciiOf(name: { readonly kind: string; readonly value: string }): Uint8Array {
  const { kind, value } = name;
  if (value !== '' && isAscii(value)) return der.ia5Content(value);
  const detail = value === '' ? 'is empty' : 'has characters outside ASCII';
  throw new CountersignError('ERR_DER_STRING', `${kind} name "${value}" ${detail}`, {
    fields: { kind, value },
  });
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function checkedAddress(bytes: Uint8Array): Uint8Array {
  if ([4, 16, 8, 32].includes(bytes.byteLength)) return bytes;
  const detail = `${bytes.byteLength} bytes, an address has 4 or 16`;
  throw new CountersignError('ERR_DER_VALUE', `ip name of ${detail}`, { fields: { bytes } });
}
