import { createHash } from 'node:crypto';
import { equalBytes } from '@countersign/base';
import { readAlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { Certificate } from '../certificate.ts';
import type { DerReader } from '../der-reader.ts';
import { der } from '../der-writer.ts';
import type { Name } from '../name.ts';
import { oids } from '../oids.ts';
import { serialHexOf } from '../serial.ts';
import type { SubjectPublicKeyInfo } from '../spki.ts';

/** What a CertID may be made with. SHA-1 names a certificate here, nothing is proved by it. */
export type OcspHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Names one certificate of one issuer (RFC 6960 §4.1.1). */
export interface CertId {
  readonly raw: Uint8Array;
  /** Undefined where it is made with a hash that is not known here: such a one matches nothing. */
  readonly hash: OcspHash | undefined;
  readonly hashOid: string;
  /** Over the DER of the issuer's name. */
  readonly issuerNameHash: Uint8Array;
  /** Over the bits of the issuer's public key. */
  readonly issuerKeyHash: Uint8Array;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
  /** As in `Certificate.serialHex`. */
  readonly serialHex: string;
}

/** A CA as far as a CertID tells: its name and its key. A CA's certificate is one. */
export interface OcspIssuer {
  readonly subject: Name;
  readonly spki: SubjectPublicKeyInfo;
}

/** Takes a CertID from the cursor. */
export function readCertId(reader: DerReader, what: string): CertId {
  const start = reader.offset;
  const inner = reader.sequence(what);
  const algorithm = readAlgorithmIdentifier(inner, what);
  const issuerNameHash = inner.octetString(what);
  const issuerKeyHash = inner.octetString(what);
  const serial = inner.integer(what);
  inner.end(what);
  const { parameters } = algorithm;
  // RFC 4055 §2.1: parameters of a hash are NULL or absent
  const isPlain = parameters === undefined || equalBytes(parameters, nullParameters);
  return {
    raw: reader.since(start),
    hash: isPlain ? hashesByOid.get(algorithm.oid) : undefined,
    hashOid: algorithm.oid,
    issuerNameHash,
    issuerKeyHash,
    serial,
    serialHex: serialHexOf(serial),
  };
}

/** The CertID of a certificate of `issuer`; only its serial number is read. */
export function certIdOf(
  certificate: Pick<Certificate, 'serial'>,
  issuer: OcspIssuer,
  hash: OcspHash = 'sha256',
): CertId {
  const { serial } = certificate;
  const { name, key } = hashesOf(issuer, hash);
  return {
    raw: der.sequence(
      identifiers[hash],
      der.octetString(name),
      der.octetString(key),
      der.integerOctets(serial),
    ),
    hash,
    hashOid: oids[hash],
    issuerNameHash: name,
    issuerKeyHash: key,
    serial,
    serialHex: serialHexOf(serial),
  };
}

/** Whether it names the certificate of `issuer` with this serial number. */
export function isCertIdOf(
  certId: CertId,
  certificate: Pick<Certificate, 'serialHex'>,
  issuer: OcspIssuer,
): boolean {
  if (certId.hash === undefined || certId.serialHex !== certificate.serialHex) return false;
  const { name, key } = hashesOf(issuer, certId.hash);
  return equalBytes(certId.issuerNameHash, name) && equalBytes(certId.issuerKeyHash, key);
}

/**
 * A key for maps from issuers: equal for all CertIDs of one issuer by one hash. Undefined where the hash is not known
 * here.
 */
export function issuerKeyOf(certId: CertId): string | undefined {
  const { hash, issuerNameHash, issuerKeyHash } = certId;
  return hash === undefined ? undefined : mapKey(hash, issuerNameHash, issuerKeyHash);
}

/** What {@link issuerKeyOf} gives for CertIDs of this issuer, one for each hash. */
export function issuerKeysOf(
  issuer: OcspIssuer,
  hashes: readonly OcspHash[] = ['sha1', 'sha256', 'sha384', 'sha512'],
): readonly string[] {
  return hashes.map((hash) => {
    const { name, key } = hashesOf(issuer, hash);
    return mapKey(hash, name, key);
  });
}

interface IssuerHashes {
  readonly name: Uint8Array;
  readonly key: Uint8Array;
}

const hashesByIssuer = new WeakMap<OcspIssuer, Map<OcspHash, IssuerHashes>>();

function hashesOf(issuer: OcspIssuer, hash: OcspHash): IssuerHashes {
  let known = hashesByIssuer.get(issuer);
  if (known === undefined) {
    known = new Map();
    hashesByIssuer.set(issuer, known);
  }
  let hashes = known.get(hash);
  if (hashes === undefined) {
    hashes = { name: digest(hash, issuer.subject.raw), key: digest(hash, issuer.spki.bits) };
    known.set(hash, hashes);
  }
  return hashes;
}

function digest(hash: OcspHash, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(hash).update(bytes).digest());
}

function mapKey(hash: OcspHash, name: Uint8Array, key: Uint8Array): string {
  return `${hash}:${latin1(name)}${latin1(key)}`;
}

function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

const nullParameters = der.null();

const identifiers: Readonly<Record<OcspHash, Uint8Array>> = {
  sha1: der.sequence(der.oid(oids.sha1), der.null()),
  sha256: der.sequence(der.oid(oids.sha256), der.null()),
  sha384: der.sequence(der.oid(oids.sha384), der.null()),
  sha512: der.sequence(der.oid(oids.sha512), der.null()),
};

const hashesByOid: ReadonlyMap<string, OcspHash> = new Map([
  [oids.sha1, 'sha1'],
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
]);
