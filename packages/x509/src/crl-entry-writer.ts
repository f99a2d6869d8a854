import { fromHex } from '@countersign/base';
import { encodeTime } from './der-time.ts';
import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions, extension } from './extension-builders.ts';
import { encodeGeneralName } from './general-name.ts';
import type { Name } from './name.ts';
import { oids } from './oids.ts';
import { type RevocationReason, revocationReasons } from './revocation-reason.ts';
import { positiveSerial } from './serial.ts';

export interface RevokedCertificate {
  /** Hexadecimal as in `Certificate.serialHex`; positive. */
  readonly serialHex: string;
  /** Ms since the epoch. */
  readonly date: number;
  /** `unspecified` is said by absence (RFC 5280 §5.3.1). `removeFromCRL` belongs into delta lists alone. */
  readonly reason?: RevocationReason;
  readonly invalidityDate?: number | undefined;
  /**
   * For an indirect list: whose certificate it is. Those of one issuer stand together, as it is said for the first of
   * them (RFC 5280 §5.3.3); those of the list's own issuer stand first or name it.
   */
  readonly certificateIssuer?: Name | undefined;
}

/**
 * The entries of a list in the making, encoded one by one: a million take a fraction of a second, and some 50 bytes
 * each. It may be kept, and added to, from one list to the next.
 */
export class CrlEntryWriter {
  /** Full ones; a buffer that grows by copying costs more than all the encoding. */
  readonly #chunks: Uint8Array[] = [];
  #chunk = new Uint8Array(smallestChunk);
  /** Used of `#chunk`. */
  #length = 0;
  #count = 0;
  #issuer: Name | undefined;
  /** Start of the day that `#dayDigits` belong to: revocations come in the order of time. */
  #day = Number.NaN;
  /** Tag, length and the digits of the date. */
  #dayDigits = new Uint8Array(0);

  get count(): number {
    return this.#count;
  }

  /** DER of the entries so far, in pieces that follow each other. */
  get pieces(): readonly Uint8Array[] {
    return [...this.#chunks, this.#chunk.subarray(0, this.#length)];
  }

  /** @throws RangeError for what is no serial number or no time, or hides whose certificate it is */
  add(entry: RevokedCertificate): void {
    const { serialHex, date, reason = 'unspecified', invalidityDate, certificateIssuer } = entry;
    if (this.#issuer !== undefined && certificateIssuer === undefined) {
      throw new RangeError(
        `revoked serial "${serialHex}" needs an issuer: it would get the last one`,
      );
    }
    if (
      serialHex.length > longestPlainSerial ||
      invalidityDate !== undefined ||
      certificateIssuer !== undefined
    ) {
      this.#append(this.#encode(entry));
    } else {
      this.#addPlain(serialHex, date, reasonExtensions[reason]);
    }
    this.#count += 1;
  }

  /** Serial number, date and perhaps a reason, which is what nearly all entries have. */
  #addPlain(serialHex: string, date: number, extensions: Uint8Array): void {
    this.#reserve(largestPlainEntry);
    const bytes = this.#chunk;
    const start = this.#length;
    const serialAt = start + 4;
    const serialLength = writeSerial(bytes, serialAt, serialHex);
    bytes[start] = 0x30;
    bytes[start + 2] = 0x02;
    bytes[start + 3] = serialLength;
    let at = this.#writeTime(serialAt + serialLength, date);
    for (let i = 0; i < extensions.byteLength; i += 1) bytes[at + i] = extensions[i] ?? 0;
    at += extensions.byteLength;
    bytes[start + 1] = at - start - 2;
    this.#length = at;
  }

  #writeTime(start: number, ms: number): number {
    const day = Math.floor(ms / dayMs) * dayMs;
    if (day !== this.#day) this.#setDay(day);
    const bytes = this.#chunk;
    const date = this.#dayDigits;
    for (let i = 0; i < date.byteLength; i += 1) bytes[start + i] = date[i] ?? 0;
    const at = start + date.byteLength;
    const seconds = Math.floor((ms - day) / 1000);
    writeTwo(bytes, at, Math.floor(seconds / 3600));
    writeTwo(bytes, at + 2, Math.floor(seconds / 60) % 60);
    writeTwo(bytes, at + 4, seconds % 60);
    bytes[at + 6] = 0x5a;
    return at + 7;
  }

  /** RFC 5280 §5.1.2.6: times in the two forms of certificates. */
  #setDay(day: number): void {
    const { tag, text } = encodeTime(day);
    this.#dayDigits = der.element(tag, [der.ia5Content(text)]).slice(0, -7);
    this.#day = day;
  }

  #encode(entry: RevokedCertificate): Uint8Array {
    const { serialHex, date, reason = 'unspecified', invalidityDate, certificateIssuer } = entry;
    const octets = fromHex(serialHex);
    if (octets === undefined || octets.byteLength === 0) refuseSerial(serialHex);
    const extensions: Extension[] = [];
    if (reason !== 'unspecified') extensions.push(reasonExtension(reason));
    if (invalidityDate !== undefined) {
      const value = der.generalizedTime(invalidityDate);
      extensions.push(extension.other(oids.invalidityDate, false, value));
    }
    if (certificateIssuer !== undefined && !isSame(certificateIssuer, this.#issuer)) {
      const name = encodeGeneralName({ kind: 'directory', name: certificateIssuer });
      // RFC 5280 §5.3.3: critical, for without it the entry is about another certificate
      extensions.push(extension.other(oids.certificateIssuer, true, der.sequence(name)));
      this.#issuer = certificateIssuer;
    }
    const serial = der.integerOctets(positiveSerial(octets));
    const tail = extensions.length === 0 ? [] : [encodeExtensions(extensions)];
    return der.sequence(serial, der.time(date), ...tail);
  }

  #append(encoded: Uint8Array): void {
    this.#reserve(encoded.byteLength);
    this.#chunk.set(encoded, this.#length);
    this.#length += encoded.byteLength;
  }

  #reserve(octets: number): void {
    const { byteLength } = this.#chunk;
    if (this.#length + octets <= byteLength) return;
    this.#chunks.push(this.#chunk.subarray(0, this.#length));
    this.#chunk = new Uint8Array(Math.max(octets, Math.min(byteLength * 2, largestChunk)));
    this.#length = 0;
  }
}

const smallestChunk = 4096;
const largestChunk = 1024 * 1024;
const dayMs = 86_400_000;
/** Digits: what a conforming serial number has, and more. */
const longestPlainSerial = 64;
/** Headers, 33 octets of serial number, a time and a reason. */
const largestPlainEntry = 80;

/** The content octets of a positive INTEGER, minimal; how many they are. */
function writeSerial(bytes: Uint8Array, start: number, hex: string): number {
  const { length } = hex;
  if (length === 0 || length % 2 !== 0) refuseSerial(hex);
  let from = 0;
  while (from < length - 2 && hex.charCodeAt(from) === 0x30 && hex.charCodeAt(from + 1) === 0x30) {
    from += 2;
  }
  let at = start;
  // RFC 5280 §5.1.2.6 by way of §4.1.2.2: positive, so an octet more where the first bit is set
  if (digitOf(hex, from) >= 8) {
    bytes[at] = 0;
    at += 1;
  }
  for (let i = from; i < length; i += 2) {
    bytes[at] = (digitOf(hex, i) << 4) | digitOf(hex, i + 1);
    at += 1;
  }
  return at - start;
}

function digitOf(hex: string, at: number): number {
  const digit = digits[hex.charCodeAt(at)] ?? 0xff;
  return digit === 0xff ? refuseSerial(hex) : digit;
}

const digits = new Uint8Array(128).fill(0xff);
for (let digit = 0; digit < 16; digit += 1) {
  const text = digit.toString(16);
  digits[text.charCodeAt(0)] = digit;
  digits[text.toUpperCase().charCodeAt(0)] = digit;
}

function writeTwo(bytes: Uint8Array, at: number, number: number): void {
  const tens = Math.floor(number / 10);
  bytes[at] = 48 + tens;
  bytes[at + 1] = 48 + number - tens * 10;
}

function isSame(a: Name, b: Name | undefined): boolean {
  return a === b || (b !== undefined && Buffer.compare(a.raw, b.raw) === 0);
}

function refuseSerial(serialHex: string): never {
  throw new RangeError(`"${serialHex}" is no serial number`);
}

function reasonExtension(reason: RevocationReason): Extension {
  return extension.other(oids.reasonCode, false, der.enumerated(revocationReasons[reason]));
}

/** DER of the entry extensions that say no more than a reason. */
const reasonExtensions = Object.fromEntries(
  Object.keys(revocationReasons).map((reason) => [
    reason,
    reason === 'unspecified'
      ? new Uint8Array(0)
      : encodeExtensions([reasonExtension(reason as RevocationReason)]),
  ]),
) as Record<RevocationReason, Uint8Array>;
