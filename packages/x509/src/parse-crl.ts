import { CountersignError } from '@countersign/base';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import type { Crl, CrlEntry } from './crl.ts';
import { readWhole } from './decoded-extensions.ts';
import { crlLimits, type DerLimits } from './der-limits.ts';
import { DerReader } from './der-reader.ts';
import { type Extension, readExtensions } from './extension.ts';
import { readAuthorityKeyId, readIssuingDistributionPoint } from './extension-readers.ts';
import { readGeneralNames } from './general-name.ts';
import { readName } from './name.ts';
import { oids } from './oids.ts';
import { checkSameAlgorithm } from './parse-certificate.ts';
import { decodePemOf } from './pem.ts';
import { revocationReasonOf } from './revocation-reason.ts';
import { serialHexOf } from './serial.ts';
import { contextConstructed, tags } from './tags.ts';

/**
 * One revocation list in canonical DER. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @throws DerError ERR_DER_*; CountersignError ERR_CRL_VERSION, ERR_CRL_EXTENSION, ERR_CRL_ENTRY,
 *   ERR_CRL_ALGORITHM_MISMATCH
 */
export function parseCrl(bytes: Uint8Array, limits: DerLimits = crlLimits): Crl {
  const reader = DerReader.over(bytes, 'revocation list', limits);
  const outer = reader.sequence('revocation list');
  reader.end('revocation list');
  const start = outer.offset;
  const inner = outer.sequence('revocation list');
  const tbs = outer.since(start);
  const signatureAlgorithm = readAlgorithmIdentifier(outer, 'signature algorithm');
  const signature = outer.bitString('signature');
  outer.end('revocation list');

  const version = readVersion(inner);
  const tbsAlgorithm = readAlgorithmIdentifier(inner, 'signature algorithm');
  checkSameAlgorithm(tbsAlgorithm, signatureAlgorithm, 'ERR_CRL_ALGORITHM_MISMATCH');
  const issuer = readName(inner, 'issuer');
  const thisUpdate = inner.time('thisUpdate');
  const hasNext = inner.nextTag === tags.utcTime || inner.nextTag === tags.generalizedTime;
  const nextUpdate = hasNext ? inner.time('nextUpdate') : undefined;
  const unknown = new Set<string>();
  const listed = inner.nextTag === tags.sequence ? readEntries(inner, version, unknown) : [];
  const extensions = readListExtensions(inner, version);
  inner.end('revocation list');
  const decoded = decodeListExtensions(reader, extensions, unknown);

  return {
    raw: reader.since(0),
    tbs,
    version,
    signatureAlgorithm,
    signature,
    issuer,
    thisUpdate,
    nextUpdate,
    extensions,
    unknownCriticalExtensions: [...unknown],
    ...(decoded.issuingDistributionPoint?.indirectCrl === true
      ? ofSeveralIssuers(listed)
      : ofOneIssuer(listed)),
    ...decoded,
  };
}

/** Every list of a PEM text, in order. @throws CountersignError ERR_PEM_*, and what `parseCrl` throws */
export function crlsFromPem(text: string | Uint8Array): Crl[] {
  return decodePemOf(text, ['X509 CRL']).map((block) => parseCrl(block));
}

type ListFields = Pick<
  Crl,
  'crlNumber' | 'deltaCrlBase' | 'authorityKeyId' | 'issuingDistributionPoint'
>;
type EntryFields = Pick<CrlEntry, 'reason' | 'invalidityDate' | 'certificateIssuer'>;
type Read<T> = (reader: DerReader, what: string) => Partial<T>;

/** A row an extension of the list, by OID (RFC 5280 §5.2). */
const listReaders: ReadonlyMap<string, Read<ListFields>> = new Map<string, Read<ListFields>>([
  [oids.crlNumber, (reader, what) => ({ crlNumber: readCrlNumber(reader, what) })],
  [oids.deltaCrlIndicator, (reader, what) => ({ deltaCrlBase: readCrlNumber(reader, what) })],
  [
    oids.authorityKeyIdentifier,
    (reader, what) => ({ authorityKeyId: readAuthorityKeyId(reader, what) }),
  ],
  [
    oids.issuingDistributionPoint,
    (reader, what) => ({ issuingDistributionPoint: readIssuingDistributionPoint(reader, what) }),
  ],
]);

/** A row an extension of an entry, by OID (RFC 5280 §5.3). */
const entryReaders: ReadonlyMap<string, Read<EntryFields>> = new Map<string, Read<EntryFields>>([
  [oids.reasonCode, readReason],
  [oids.invalidityDate, (reader, what) => ({ invalidityDate: reader.generalizedTime(what) })],
  [
    oids.certificateIssuer,
    (reader, what) => ({ certificateIssuer: readGeneralNames(reader, what) }),
  ],
]);

// RFC 5280 §5.1.2.1: v2 is 1; v1 is said by absence
function readVersion(reader: DerReader): 1 | 2 {
  if (reader.nextTag !== tags.integer) return 1;
  const version = reader.smallInteger('version', 0xffff);
  if (version === 1) return 2;
  const message = `revocation list of version number ${version}, 1 (v2) or none (v1) expected`;
  throw new CountersignError('ERR_CRL_VERSION', message, { fields: { version } });
}

// RFC 5280 §5.1.2.6: absent where there is none, never empty
function readEntries(reader: DerReader, version: 1 | 2, unknown: Set<string>): CrlEntry[] {
  const inner = reader.sequenceOfSome('revoked certificates');
  const entries: CrlEntry[] = [];
  while (!inner.atEnd) entries.push(readEntry(inner, version, unknown));
  return entries;
}

function readEntry(reader: DerReader, version: 1 | 2, unknown: Set<string>): CrlEntry {
  const entry = reader.sequence('entry');
  const serialHex = serialHexOf(entry.integer('entry serial number'));
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

// RFC 5280 §5.2.3: up to 20 octets, never negative
function readCrlNumber(reader: DerReader, what: string): bigint {
  const content = reader.integer(what);
  if ((content[0] ?? 0) >= 0x80) reader.fail('ERR_DER_VALUE', what, 'is negative');
  if (content.byteLength > 20) {
    reader.fail('ERR_DER_VALUE', what, `${content.byteLength} octets, at most 20 are allowed`);
  }
  return BigInt(`0x${Buffer.from(content).toString('hex')}`);
}

function readListExtensions(reader: DerReader, version: 1 | 2): readonly Extension[] {
  const tag = contextConstructed(0);
  if (reader.nextTag !== tag) return [];
  if (version === 1) refuseVersion('extensions');
  const explicit = reader.constructed('extensions', tag);
  const extensions = readExtensions(explicit, 'extension', 'ERR_CRL_EXTENSION');
  explicit.end('extensions');
  return extensions;
}

function decodeListExtensions(
  reader: DerReader,
  extensions: readonly Extension[],
  unknown: Set<string>,
): ListFields {
  const decoded: ListFields = {
    crlNumber: undefined,
    deltaCrlBase: undefined,
    authorityKeyId: undefined,
    issuingDistributionPoint: undefined,
  };
  for (const extension of extensions) {
    const read = listReaders.get(extension.oid);
    if (read === undefined) {
      if (extension.critical) unknown.add(extension.oid);
    } else Object.assign(decoded, readWhole(reader, extension, read, 'ERR_CRL_EXTENSION'));
  }
  return decoded;
}

type Entries = Pick<Crl, 'entries' | 'sharedSerials'>;

function ofOneIssuer(listed: readonly CrlEntry[]): Entries {
  const entries = new Map<string, CrlEntry>();
  for (const entry of listed) {
    const { serialHex, certificateIssuer } = entry;
    const wrong = entries.has(serialHex)
      ? `names serial number ${serialHex} twice`
      : certificateIssuer === undefined
        ? undefined
        : `names a certificate issuer for serial number ${serialHex} and is not indirect`;
    if (wrong !== undefined) {
      const message = `revocation list ${wrong}`;
      throw new CountersignError('ERR_CRL_ENTRY', message, { fields: { serialHex } });
    }
    entries.set(serialHex, entry);
  }
  return { entries, sharedSerials: new Map() };
}

// RFC 5280 §5.3.3: an entry that names no issuer is of the same one as the entry before
function ofSeveralIssuers(listed: readonly CrlEntry[]): Entries {
  const entries = new Map<string, CrlEntry>();
  const sharedSerials = new Map<string, CrlEntry[]>();
  let certificateIssuer: CrlEntry['certificateIssuer'];
  for (const written of listed) {
    certificateIssuer = written.certificateIssuer ?? certificateIssuer;
    const entry = { ...written, certificateIssuer };
    const { serialHex } = entry;
    const first = entries.get(serialHex);
    if (first === undefined) {
      entries.set(serialHex, entry);
      continue;
    }
    const shared = sharedSerials.get(serialHex) ?? [first];
    sharedSerials.set(serialHex, shared);
    shared.push(entry);
  }
  return { entries, sharedSerials };
}

function refuseVersion(what: string): never {
  const message = `revocation list of version 1 has ${what}, version 2 is needed`;
  throw new CountersignError('ERR_CRL_VERSION', message, { fields: { version: 1 } });
}
