import { type AlgorithmIdentifier, readAlgorithmIdentifier } from '../algorithm-identifier.ts';
import { DerError } from '../der-error.ts';
import { certificateLimits, type DerLimits } from '../der-limits.ts';
import { DerReader } from '../der-reader.ts';
import { der } from '../der-writer.ts';
import { readName } from '../name.ts';
import { contextConstructed, contextTag, tags } from '../tags.ts';
import { cmsOids } from './cms-oids.ts';
import { derOfBer } from './der-of-ber.ts';

/** SignedData (RFC 5652 §5) with its content in it; nothing of it is verified. */
export interface SignedData {
  /** Dotted OID of what is signed. */
  readonly contentType: string;
  readonly content: Uint8Array;
  /** DER, as the sender enclosed them. */
  readonly certificates: readonly Uint8Array[];
  /** At least one. */
  readonly signers: readonly SignerInfo[];
}

export interface SignerInfo {
  /** Whose key it says signed: by issuer (DER of the name) and serial number, or by key identifier. */
  readonly by:
    | { readonly issuer: Uint8Array; readonly serial: Uint8Array }
    | { readonly keyId: Uint8Array };
  readonly digestAlgorithm: AlgorithmIdentifier;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  /** Undefined: the content itself is signed. */
  readonly attributes:
    | {
        /** DER of the SET OF that is signed (RFC 5652 §5.4). */
        readonly signed: Uint8Array;
        readonly contentType: string | undefined;
        readonly messageDigest: Uint8Array | undefined;
      }
    | undefined;
}

const what = 'signed data';
const mostSigners = 16;

/**
 * A ContentInfo with SignedData, in DER or in BER. Bytes of the result are of a copy.
 *
 * @throws DerError ERR_DER_*
 */
export function parseSignedData(
  bytes: Uint8Array,
  limits: DerLimits = certificateLimits,
): SignedData {
  const reader = DerReader.over(derOfBer(bytes, what, limits), what, limits);
  const outer = reader.sequence(what);
  reader.end(what);
  const type = outer.oid('content type');
  if (type !== cmsOids.signedData) {
    outer.fail('ERR_DER_VALUE', 'content type', `is ${type}, ${cmsOids.signedData} expected`);
  }
  const explicit = outer.constructed(what, contextConstructed(0));
  outer.end(what);
  const inner = explicit.sequence(what);
  explicit.end(what);

  inner.smallInteger('version', 5);
  inner.constructed('digest algorithms', tags.set);
  const { contentType, content } = readContent(inner.sequence('encapsulated content'));
  const certificates: Uint8Array[] = [];
  if (inner.nextTag === contextConstructed(0)) {
    const list = inner.constructed('certificates', contextConstructed(0));
    // RFC 5652 §10.2.2: attribute certificates and others are tagged
    while (!list.atEnd) {
      const isCertificate = list.nextTag === tags.sequence;
      const raw = list.any('certificate');
      if (isCertificate) certificates.push(raw);
    }
  }
  if (inner.nextTag === contextConstructed(1)) inner.any('revocation lists');
  const infos = inner.constructed('signers', tags.set);
  inner.end(what);
  const signers: SignerInfo[] = [];
  while (!infos.atEnd) {
    if (signers.length === mostSigners) {
      infos.fail('ERR_DER_LIMIT', 'signers', `more than ${mostSigners}`);
    }
    signers.push(readSigner(infos.sequence('signer')));
  }
  if (signers.length === 0) infos.fail('ERR_DER_VALUE', 'signers', 'nobody signed');
  return { contentType, content, certificates, signers };
}

function readContent(reader: DerReader): { contentType: string; content: Uint8Array } {
  const contentType = reader.oid('content type');
  if (reader.atEnd) reader.fail('ERR_DER_VALUE', 'content', 'what is signed is not enclosed');
  const explicit = reader.constructed('content', contextConstructed(0));
  reader.end('encapsulated content');
  const content = explicit.octetString('content');
  explicit.end('content');
  return { contentType, content };
}

function readSigner(reader: DerReader): SignerInfo {
  reader.smallInteger('signer version', 3);
  const by = readSignerId(reader);
  const digestAlgorithm = readAlgorithmIdentifier(reader, 'digest algorithm');
  const attributes =
    reader.nextTag === contextConstructed(0)
      ? readAttributes(reader.constructed('signed attributes', contextConstructed(0)))
      : undefined;
  const signatureAlgorithm = readAlgorithmIdentifier(reader, 'signature algorithm');
  const signature = reader.octetString('signature');
  if (reader.nextTag === contextConstructed(1)) reader.any('unsigned attributes');
  reader.end('signer');
  return { by, digestAlgorithm, attributes, signatureAlgorithm, signature };
}

function readSignerId(reader: DerReader): SignerInfo['by'] {
  if (reader.nextTag === contextTag(0)) {
    return { keyId: reader.octetString('key identifier', contextTag(0)) };
  }
  const inner = reader.sequence('issuer and serial number');
  const issuer = readName(inner, 'issuer').raw;
  const serial = inner.integer('serial number');
  inner.end('issuer and serial number');
  return { issuer, serial };
}

function readAttributes(reader: DerReader): NonNullable<SignerInfo['attributes']> {
  const raw: Uint8Array[] = [];
  const values = new Map<string, DerReader>();
  while (!reader.atEnd) {
    const start = reader.offset;
    const inner = reader.sequence('signed attribute');
    raw.push(reader.since(start));
    const type = inner.oid('attribute type');
    const set = inner.sequenceOfSome('attribute values', tags.set);
    inner.end('signed attribute');
    // RFC 5652 §11: each of those that are read is there once, with one value
    if (values.has(type))
      reader.fail('ERR_DER_VALUE', 'signed attribute', `${type} is there twice`);
    values.set(type, set);
  }
  return {
    signed: der.setOf(...raw).slice(),
    contentType: one(values.get(cmsOids.contentType), (each) => each.oid('content type')),
    messageDigest: one(values.get(cmsOids.messageDigest), (each) => each.octetString('digest')),
  };
}

function one<T>(set: DerReader | undefined, read: (set: DerReader) => T): T | undefined {
  if (set === undefined) return undefined;
  const value = read(set);
  if (!set.atEnd)
    throw new DerError('ERR_DER_VALUE', what, set.offset, 'an attribute of two values');
  return value;
}
