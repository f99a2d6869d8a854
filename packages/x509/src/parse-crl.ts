import { CountersignError } from '@countersign/base';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import type { Crl, CrlEntry } from './crl.ts';
import { CrlEntryTable } from './crl-entry-table.ts';
import { readWhole } from './decoded-extensions.ts';
import { crlLimits, type DerLimits } from './der-limits.ts';
import { DerReader } from './der-reader.ts';
import { type Extension, readExtensions } from './extension.ts';
import {
  readAccessDescriptions,
  readAuthorityKeyId,
  readDistributionPoints,
  readIssuingDistributionPoint,
} from './extension-readers.ts';
import { readName } from './name.ts';
import { oids } from './oids.ts';
import { checkSameAlgorithm } from './parse-certificate.ts';
import { decodePemOf } from './pem.ts';
import { type CrlEntries, readCrlEntries, refuseVersion } from './read-crl-entries.ts';
import { contextConstructed, tags } from './tags.ts';

/**
 * One revocation list in canonical DER. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @throws DerError ERR_DER_*; CountersignError ERR_CRL_VERSION, ERR_CRL_EXTENSION, ERR_CRL_ENTRY,
 *   ERR_CRL_ALGORITHM_MISMATCH
 */
export function parseCrl(bytes: Uint8Array, limits: DerLimits = crlLimits): Crl {
  const steps = parseInSteps(bytes, limits);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * The same with a pause every few milliseconds, for whoever has other things to do while a list of a million is read.
 *
 * @param pause awaited between two steps
 */
export async function parseCrlPausing(
  bytes: Uint8Array,
  limits: DerLimits,
  pause: () => Promise<void>,
): Promise<Crl> {
  const steps = parseInSteps(bytes, limits);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await pause();
  }
}

function* parseInSteps(bytes: Uint8Array, limits: DerLimits): Generator<undefined, Crl> {
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
  const listed =
    inner.nextTag === tags.sequence ? yield* readCrlEntries(inner, version) : undefined;
  const extensions = readListExtensions(inner, version);
  inner.end('revocation list');
  const unknown = new Set(listed?.unknownCritical);
  const decoded = decodeListExtensions(reader, extensions, unknown);
  const isIndirect = decoded.issuingDistributionPoint?.indirectCrl === true;
  if (listed !== undefined && !isIndirect) checkOneIssuer(listed);
  const entries = listed?.table ?? noEntries;

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
    entries,
    sharedSerials: sharedSerialsOf(entries),
    ...decoded,
  };
}

/** Every list of a PEM text, in order. @throws CountersignError ERR_PEM_*, and what `parseCrl` throws */
export function crlsFromPem(text: string | Uint8Array): Crl[] {
  return decodePemOf(text, ['X509 CRL']).map((block) => parseCrl(block));
}

type ListFields = Pick<
  Crl,
  | 'crlNumber'
  | 'deltaCrlBase'
  | 'authorityKeyId'
  | 'issuingDistributionPoint'
  | 'freshestCrl'
  | 'authorityInfoAccess'
>;
type Read = (reader: DerReader, what: string) => Partial<ListFields>;

/** A row an extension of the list, by OID (RFC 5280 §5.2). */
const listReaders: ReadonlyMap<string, Read> = new Map<string, Read>([
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
  [oids.freshestCrl, (reader, what) => ({ freshestCrl: readDistributionPoints(reader, what) })],
  [
    oids.authorityInfoAccess,
    (reader, what) => ({ authorityInfoAccess: readAccessDescriptions(reader, what) }),
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
    freshestCrl: undefined,
    authorityInfoAccess: undefined,
  };
  for (const extension of extensions) {
    const read = listReaders.get(extension.oid);
    if (read === undefined) {
      if (extension.critical) unknown.add(extension.oid);
    } else Object.assign(decoded, readWhole(reader, extension, read, 'ERR_CRL_EXTENSION'));
  }
  return decoded;
}

const noEntries = CrlEntryTable.empty();

function checkOneIssuer({ table, firstIssued }: CrlEntries): void {
  const [repeated] = table.repeated;
  if (repeated !== undefined) {
    refuseEntry(table.at(repeated), (serialHex) => `names serial number ${serialHex} twice`);
  }
  if (firstIssued === undefined) return;
  refuseEntry(
    firstIssued,
    (serialHex) => `names a certificate issuer for serial number ${serialHex} and is not indirect`,
  );
}

/** An indirect list may have one serial number of several issuers. */
function sharedSerialsOf(table: CrlEntryTable): ReadonlyMap<string, readonly CrlEntry[]> {
  const sharedSerials = new Map<string, CrlEntry[]>();
  for (const number of table.repeated) {
    const entry = table.at(number);
    const { serialHex } = entry;
    const first = table.get(serialHex);
    const shared = sharedSerials.get(serialHex) ?? (first === undefined ? [] : [first]);
    sharedSerials.set(serialHex, shared);
    shared.push(entry);
  }
  return sharedSerials;
}

function refuseEntry({ serialHex }: CrlEntry, detailOf: (serialHex: string) => string): never {
  const message = `revocation list ${detailOf(serialHex)}`;
  throw new CountersignError('ERR_CRL_ENTRY', message, { fields: { serialHex } });
}
