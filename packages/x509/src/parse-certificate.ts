import { hash } from 'node:crypto';
import { CountersignError, type ErrorCode, equalBytes } from '@countersign/base';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm-identifier.ts';
import type { Certificate } from './certificate.ts';
import { decodeExtensions } from './decoded-extensions.ts';
import { certificateLimits, type DerLimits } from './der-limits.ts';
import { DerReader } from './der-reader.ts';
import { type Extension, readExtensions } from './extension.ts';
import { readName } from './name.ts';
import { oidName } from './oids.ts';
import { decodePemOf } from './pem.ts';
import { serialHexOf } from './serial.ts';
import { readSpki } from './spki.ts';
import { contextConstructed, contextTag } from './tags.ts';

/**
 * One certificate in canonical DER, nothing behind it. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @param passedOver OIDs of extensions that stay closed where they are not critical, however malformed they are
 * @throws DerError ERR_DER_*; CountersignError ERR_CERT_VERSION, ERR_CERT_EXTENSION, ERR_CERT_EXTENSION_DUPLICATE,
 *   ERR_CERT_ALGORITHM_MISMATCH
 */
export function parseCertificate(
  bytes: Uint8Array,
  limits: DerLimits = certificateLimits,
  passedOver?: ReadonlySet<string>,
): Certificate {
  const reader = DerReader.over(bytes, 'certificate', limits);
  const outer = reader.sequence('certificate');
  reader.end('certificate');
  const start = outer.offset;
  const inner = outer.sequence('certificate');
  const tbs = outer.since(start);
  const signatureAlgorithm = readAlgorithmIdentifier(outer, 'signature algorithm');
  const signature = outer.bitString('signature');
  outer.end('certificate');

  const version = readVersion(inner);
  const serial = inner.integer('serial number');
  const tbsSignatureAlgorithm = readAlgorithmIdentifier(inner, 'signature algorithm');
  checkSameAlgorithm(tbsSignatureAlgorithm, signatureAlgorithm, 'ERR_CERT_ALGORITHM_MISMATCH');
  const issuer = readName(inner, 'issuer');
  const validity = inner.sequence('validity');
  const notBefore = validity.time('notBefore');
  const notAfter = validity.time('notAfter');
  validity.end('validity');
  const subject = readName(inner, 'subject');
  const spki = readSpki(inner, 'subject public key');
  skipUniqueIdentifiers(inner, version);
  const extensions = readCertificateExtensions(inner, version);
  inner.end('certificate');

  return {
    raw: reader.since(0),
    tbs,
    version,
    serial,
    serialHex: serialHexOf(serial),
    signatureAlgorithm,
    tbsSignatureAlgorithm,
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions,
    ...decodeExtensions(reader, extensions, 'ERR_CERT_EXTENSION', passedOver),
  };
}

/**
 * Every certificate of a PEM text, in order; other blocks are passed over.
 *
 * @throws CountersignError ERR_PEM_* (ERR_PEM_NONE where it has no certificate), and what `parseCertificate` throws
 */
export function certificatesFromPem(text: string | Uint8Array): Certificate[] {
  const blocks = decodePemOf(text, ['CERTIFICATE', 'X509 CERTIFICATE']);
  return blocks.map((block) => parseCertificate(block));
}

/** SHA-256 of the DER, lowercase hexadecimal. */
export function fingerprintOf(certificate: { readonly raw: Uint8Array }): string {
  return hash('sha256', certificate.raw, 'hex');
}

/** RFC 5280 §4.1.1.2: the two places MUST hold the same. */
export function checkSameAlgorithm(
  inside: AlgorithmIdentifier,
  outside: AlgorithmIdentifier,
  code: ErrorCode,
): void {
  if (equalBytes(inside.raw, outside.raw)) return;
  const sides = `${oidName(inside.oid)} is signed, ${oidName(outside.oid)} stands outside`;
  throw new CountersignError(code, `signature algorithms differ: ${sides}`, {
    fields: { inside: inside.oid, outside: outside.oid },
  });
}

// RFC 5280 §4.1.2.1: v1 is the default, and so never encoded
function readVersion(reader: DerReader): 1 | 2 | 3 {
  if (reader.nextTag !== contextConstructed(0)) return 1;
  const explicit = reader.constructed('version', contextConstructed(0));
  const version = explicit.smallInteger('version', 2);
  if (version === 0) explicit.fail('ERR_DER_DEFAULT', 'version', 'version 1 is encoded');
  explicit.end('version');
  return version === 1 ? 2 : 3;
}

// RFC 5280 §4.1.2.8: version 2 or 3. Nobody uses them.
function skipUniqueIdentifiers(reader: DerReader, version: number): void {
  for (const tag of [contextTag(1), contextTag(2)]) {
    if (reader.nextTag !== tag) continue;
    reader.looseBitString('unique identifier', tag);
    if (version === 1) refuseVersion('unique identifier', version, 'version 2 or 3');
  }
}

// RFC 5280 §4.1.2.9: version 3
function readCertificateExtensions(reader: DerReader, version: number): readonly Extension[] {
  if (reader.nextTag !== contextConstructed(3)) return [];
  if (version !== 3) refuseVersion('extensions', version, 'version 3');
  const explicit = reader.constructed('extensions', contextConstructed(3));
  const extensions = readExtensions(explicit, 'extension', 'ERR_CERT_EXTENSION_DUPLICATE');
  explicit.end('extensions');
  return extensions;
}

function refuseVersion(what: string, version: number, needed: string): never {
  const message = `certificate of version ${version} has ${what}, ${needed} is needed`;
  throw new CountersignError('ERR_CERT_VERSION', message, { fields: { version } });
}
