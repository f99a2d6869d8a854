import { CountersignError } from '@countersign/base';
import type { CrlEntry } from './crl.ts';
import { CrlEntryTable, markedStart, serialAt } from './crl-entry-table.ts';
import { readWhole } from './decoded-extensions.ts';
import type { DerReader } from './der-reader.ts';
import { decodeTime } from './der-time.ts';
import { readExtensions } from './extension.ts';
import { readGeneralNames } from './general-name.ts';
import { oids } from './oids.ts';
import { revocationReasonOf } from './revocation-reason.ts';
import { serialHexOf } from './serial.ts';
import { tags } from './tags.ts';

export interface CrlEntries {
  /** With the certificate issuer that is in force at each entry. */
  readonly table: CrlEntryTable;
  /** The first entry that names a certificate issuer, or undefined. */
  readonly firstIssued: CrlEntry | undefined;
  /** OIDs of critical extensions of entries that this room does not decode. */
  readonly unknownCritical: ReadonlySet<string>;
}

/** Entries that are read, or put into the table, between two yields: some milliseconds of work. */
export const entriesOfSlice = 16_384;

/**
 * Takes the revokedCertificates of a list, slice by slice. Each entry is checked throughout, and kept as its bytes: a
 * list of a million would fill the memory with objects of which one look-up needs one.
 */
export function* readCrlEntries(
  reader: DerReader,
  version: 1 | 2,
): Generator<undefined, CrlEntries> {
  // RFC 5280 §5.1.2.6: absent where there is none, never empty
  const list = reader.sequenceOfSome('revoked certificates');
  const bytes = list.rest;
  const starts = new Uint32Array(Math.ceil(bytes.byteLength / smallestEntry));
  const issuers: IssuerRun[] = [];
  const unknownCritical = new Set<string>();
  let count = 0;
  let at = 0;

  function readSlice(): void {
    const until = count + entriesOfSlice;
    let plain = 0;
    for (; count < until && at < bytes.byteLength; count += 1) {
      const end = plainEnd(bytes, at, version);
      if (end !== 0) {
        starts[count] = at;
        plain += 1;
        at = end;
        continue;
      }
      starts[count] = at | markedStart;
      const cursor = list.within(bytes.subarray(at));
      const start = cursor.offset;
      const entry = readEntry(cursor, version, unknownCritical);
      if (entry.certificateIssuer !== undefined) issuers.push({ from: count, issuer: entry });
      at += cursor.offset - start;
    }
    list.spend(plain * elementsOfPlain, 'revoked certificates');
  }

  while (at < bytes.byteLength) {
    readSlice();
    yield;
  }

  const decode = (from: number, number: number): CrlEntry => {
    const isPlain = (from & markedStart) === 0;
    const entry = isPlain
      ? decodePlain(bytes, from)
      : readEntry(list.within(bytes.subarray(from & ~markedStart)), version, new Set());
    if (issuers.length === 0 || entry.certificateIssuer !== undefined) return entry;
    // RFC 5280 §5.3.3: an entry that names no issuer is of the same one as the entry before
    return { ...entry, certificateIssuer: issuerAt(issuers, number)?.certificateIssuer };
  };
  const table = yield* CrlEntryTable.fill(bytes, starts.subarray(0, count), decode, entriesOfSlice);
  return { table, firstIssued: issuers[0]?.issuer, unknownCritical };
}

/** From the entry of this number on. */
interface IssuerRun {
  readonly from: number;
  readonly issuer: CrlEntry;
}

/** The last of the runs, which are in order, that begins at or before the entry. */
function issuerAt(runs: readonly IssuerRun[], entry: number): CrlEntry | undefined {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[middle]?.from ?? 0) <= entry) low = middle + 1;
    else high = middle;
  }
  return runs[low - 1]?.issuer;
}

/** A serial number of one octet and a UTCTime. */
const smallestEntry = 20;
const elementsOfPlain = 9;

/** DER of the extensions that say a reason, but for its last octet. */
const reasonPrefix = Uint8Array.of(0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 0x0a, 1);

/**
 * The end of a well-formed entry of serial number, UTCTime and perhaps a reason, which is what nearly all are; 0 for any
 * other, which the reader of DER must look at.
 */
function plainEnd(bytes: Uint8Array, start: number, version: 1 | 2): number {
  const length = bytes[start + 1] ?? 0xff;
  const serialLength = bytes[start + 3] ?? 0xff;
  const end = start + 2 + length;
  const timeAt = start + 4 + serialLength;
  const restAt = timeAt + 15;
  if (bytes[start] !== tags.sequence || length >= 0x80 || end > bytes.byteLength) return 0;
  if (bytes[start + 2] !== tags.integer || serialLength === 0 || restAt > end) return 0;
  const [first, second] = [bytes[start + 4] ?? 0, bytes[start + 5] ?? 0];
  // minimal, and positive
  if (first >= 0x80 || (first === 0 && serialLength > 1 && second < 0x80)) return 0;
  if (bytes[timeAt] !== tags.utcTime || bytes[timeAt + 1] !== 13) return 0;
  if (decodeTime(bytes, timeAt + 2, restAt, tags.utcTime) === undefined) return 0;
  if (restAt === end) return end;
  if (version === 1 || end - restAt !== reasonPrefix.byteLength + 1) return 0;
  for (let i = 0; i < reasonPrefix.byteLength; i += 1) {
    if (bytes[restAt + i] !== reasonPrefix[i]) return 0;
  }
  return revocationReasonOf(bytes[end - 1] ?? 0xff) === undefined ? 0 : end;
}

function decodePlain(bytes: Uint8Array, start: number): CrlEntry {
  const from = serialAt(bytes, start);
  const timeAt = from + (bytes[from - 1] ?? 0);
  const restAt = timeAt + 15;
  const end = start + 2 + (bytes[start + 1] ?? 0);
  const reason = end === restAt ? undefined : revocationReasonOf(bytes[end - 1] ?? 0);
  return {
    reason: reason ?? 'unspecified',
    invalidityDate: undefined,
    certificateIssuer: undefined,
    serialHex: serialHexOf(bytes.subarray(from, timeAt)),
    date: decodeTime(bytes, timeAt + 2, restAt, tags.utcTime) ?? Number.NaN,
  };
}

type EntryFields = Pick<CrlEntry, 'reason' | 'invalidityDate' | 'certificateIssuer'>;
type Read = (reader: DerReader, what: string) => Partial<EntryFields>;

/** A row an extension of an entry, by OID (RFC 5280 §5.3). */
const entryReaders: ReadonlyMap<string, Read> = new Map<string, Read>([
  [oids.reasonCode, readReason],
  [oids.invalidityDate, (reader, what) => ({ invalidityDate: reader.generalizedTime(what) })],
  [
    oids.certificateIssuer,
    (reader, what) => ({ certificateIssuer: readGeneralNames(reader, what) }),
  ],
]);

function readEntry(reader: DerReader, version: 1 | 2, unknown: Set<string>): CrlEntry {
  const entry = reader.sequence('entry');
  const serial = entry.integer('entry serial number');
  if (serial.byteLength > longestSerial) {
    const sides = `${serial.byteLength} octets, at most ${longestSerial} are read`;
    reader.fail('ERR_DER_LIMIT', 'entry serial number', sides);
  }
  const serialHex = serialHexOf(serial);
  const date = entry.time('revocation date');
  if (entry.atEnd) return { ...noEntryFields, serialHex, date };
  if (version === 1) refuseVersion('entry extensions');
  const extensions = readExtensions(entry, 'entry extension', 'ERR_CRL_ENTRY');
  entry.end('entry');
  const decoded: { -readonly [K in keyof EntryFields]: EntryFields[K] } = { ...noEntryFields };
  for (const extension of extensions) {
    const read = entryReaders.get(extension.oid);
    if (read === undefined) {
      if (extension.critical) unknown.add(extension.oid);
    } else Object.assign(decoded, readWhole(reader, extension, read, 'ERR_CRL_ENTRY'));
  }
  return { ...decoded, serialHex, date };
}

/** RFC 5280 §4.1.2.2 allows 20; the table finds its way by lengths of one octet. */
const longestSerial = 127;

const noEntryFields: EntryFields = {
  reason: 'unspecified',
  invalidityDate: undefined,
  certificateIssuer: undefined,
};

// RFC 5280 §5.3.1; 7 is not used
function readReason(reader: DerReader, what: string): Partial<EntryFields> {
  const number = reader.smallInteger(what, 10, tags.enumerated);
  const reason = revocationReasonOf(number);
  if (reason === undefined) reader.fail('ERR_DER_VALUE', what, `reason ${number} is not in use`);
  return { reason };
}

export function refuseVersion(what: string): never {
  const message = `revocation list of version 1 has ${what}, version 2 is needed`;
  throw new CountersignError('ERR_CRL_VERSION', message, { fields: { version: 1 } });
}
