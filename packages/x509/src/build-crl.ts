import { CrlEntryWriter, type RevokedCertificate } from './crl-entry-writer.ts';
import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions, extension, keyIdOf } from './extension-builders.ts';
import type { Name } from './name.ts';
import type { Signer } from './signer.ts';
import { tags } from './tags.ts';

export interface CrlTemplate {
  readonly signer: Signer;
  readonly issuer: Name;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** At least 0, and more than the number of the list before (RFC 5280 §5.2.3). */
  readonly crlNumber: bigint;
  /** Distinct serials (of an issuer), in any order; or encoded already, by who keeps them from one list to the next. */
  readonly entries: Iterable<RevokedCertificate> | EncodedEntries;
  /** The issuer's subject key identifier; derived from the signer's key unless given. */
  readonly authorityKeyId?: Uint8Array | undefined;
  /** Beside authority key identifier and CRL number: the scope, the base of a delta, where the freshest one is. */
  readonly extensions?: readonly Extension[];
}

/** DER of entries, in pieces that follow each other: what a {@link CrlEntryWriter} has, or several. */
export interface EncodedEntries {
  readonly pieces: readonly Uint8Array[];
}

/** DER of a signed version 2 list (RFC 5280 §5.1). A million entries are copied once, hashed once and signed. */
export async function buildCrl(template: CrlTemplate): Promise<Uint8Array> {
  const { signer } = template;
  const { identifier } = signer.algorithm;
  const entries = encodeEntries(template.entries);
  const entriesLength = lengthOf(entries);
  const head = [
    der.integer(1),
    identifier,
    template.issuer.raw,
    der.time(template.thisUpdate),
    der.time(template.nextUpdate),
    // RFC 5280 §5.1.2.6: absent where there is none, never empty
    ...(entriesLength === 0 ? [] : [header(tags.sequence, entriesLength)]),
  ];
  const extensions = der.explicit(
    0,
    encodeExtensions([
      extension.authorityKeyId(template.authorityKeyId ?? keyIdOf(signer.spki)),
      extension.crlNumber(template.crlNumber),
      ...(template.extensions ?? []),
    ]),
  );

  // 1. what is signed, in its place: behind room for the outer header, whose length depends on the signature's
  const parts = [...head, ...entries, extensions];
  const content = lengthOf(parts);
  const tbsHeader = header(tags.sequence, content);
  const tbsEnd = longestHeader + tbsHeader.byteLength + content;
  const whole = new Uint8Array(tbsEnd + identifier.byteLength + roomForSignature);
  place(whole, longestHeader, [tbsHeader, ...parts]);

  // 2. its signature
  const signature = await signer.sign(whole.subarray(longestHeader, tbsEnd));

  // 3. the rest around it
  const tail = [identifier, der.bitString(signature)];
  const length = tbsEnd - longestHeader + lengthOf(tail);
  const outer = header(tags.sequence, length);
  const start = longestHeader - outer.byteLength;
  const room = longestHeader + length <= whole.byteLength ? whole : grown(whole, length);
  place(room, start, [outer]);
  place(room, tbsEnd, tail);
  const list = room.subarray(start, longestHeader + length);
  return list.byteLength < largestCopied ? list.slice() : list;
}

function encodeEntries(entries: CrlTemplate['entries']): readonly Uint8Array[] {
  if ('pieces' in entries) return entries.pieces;
  const writer = new CrlEntryWriter();
  for (const entry of entries) writer.add(entry);
  return writer.pieces;
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0);
}

const longestHeader = 6;
/** Of the longest that we make, ML-DSA-87. */
const roomForSignature = 5120;
/** A larger list keeps the few spare bytes around it. */
const largestCopied = 1024 * 1024;

/** Identifier and length octets of an element whose content stands elsewhere. */
function header(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(tag, length);
  const octets = length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
  const bytes = Uint8Array.of(tag, 0x80 | octets, 0, 0, 0, 0).subarray(0, 2 + octets);
  for (let i = 0; i < octets; i += 1) bytes[2 + i] = (length >>> (8 * (octets - 1 - i))) & 0xff;
  return bytes;
}

function place(whole: Uint8Array, start: number, parts: readonly Uint8Array[]): void {
  let at = start;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
}

function grown(whole: Uint8Array, length: number): Uint8Array {
  const larger = new Uint8Array(longestHeader + length);
  larger.set(whole.subarray(0, larger.byteLength));
  return larger;
}
