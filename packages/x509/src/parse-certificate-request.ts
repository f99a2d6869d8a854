import { CountersignError } from '@countersign/base';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import type { CertificateRequest } from './certificate-request.ts';
import { decodeExtensions } from './decoded-extensions.ts';
import type { DerLimits } from './der-limits.ts';
import { DerReader } from './der-reader.ts';
import { type Extension, readExtensions } from './extension.ts';
import { readName } from './name.ts';
import { oidName, oids } from './oids.ts';
import { decodePemOf } from './pem.ts';
import { verifySignatureOnce } from './signer.ts';
import { readSpki } from './spki.ts';
import { decodeString } from './string-types.ts';
import { contextConstructed, tags } from './tags.ts';

/** A request with an ML-DSA-87 key has 8 kB. */
const requestLimits: DerLimits = { maxBytes: 64 * 1024, maxDepth: 24, maxElements: 4000 };

/**
 * One PKCS #10 request in canonical DER. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @throws DerError ERR_DER_*; CountersignError ERR_CSR_VERSION, ERR_CSR_ATTRIBUTE, ERR_CSR_EXTENSION
 */
export function parseCertificateRequest(
  bytes: Uint8Array,
  limits: DerLimits = requestLimits,
): CertificateRequest {
  const reader = DerReader.over(bytes, 'certificate request', limits);
  const outer = reader.sequence('certificate request');
  reader.end('certificate request');
  const start = outer.offset;
  const inner = outer.sequence('certificate request');
  const tbs = outer.since(start);
  const signatureAlgorithm = readAlgorithmIdentifier(outer, 'signature algorithm');
  const signature = outer.bitString('signature');
  outer.end('certificate request');

  // RFC 2986 §4.1: v1 is 0
  const version = inner.smallInteger('version', 0xffff);
  if (version !== 0) {
    const message = `certificate request of version ${version}, 0 expected`;
    throw new CountersignError('ERR_CSR_VERSION', message, { fields: { version } });
  }
  const subject = readName(inner, 'subject');
  const spki = readSpki(inner, 'subject public key');
  const attributes = readAttributes(inner);
  inner.end('certificate request');

  return {
    raw: reader.since(0),
    tbs,
    subject,
    spki,
    ...attributes,
    ...decodeExtensions(reader, attributes.extensions, 'ERR_CSR_EXTENSION'),
    signatureAlgorithm,
    signature,
  };
}

/** The one request of a PEM text. @throws CountersignError ERR_PEM_*, and what `parseCertificateRequest` throws */
export function certificateRequestFromPem(text: string | Uint8Array): CertificateRequest {
  const [first, ...others] = decodePemOf(text, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']);
  if (first === undefined || others.length > 0) {
    const message = `PEM text has ${others.length + 1} certificate requests, one is expected`;
    throw new CountersignError('ERR_PEM_MALFORMED', message);
  }
  return parseCertificateRequest(first);
}

/** Whether the requester holds the private key of the public one (RFC 2986 §3). */
export function verifyPossession(request: CertificateRequest): boolean {
  const { spki, signatureAlgorithm, tbs, signature } = request;
  return verifySignatureOnce(spki, signatureAlgorithm, tbs, signature);
}

interface Attributes {
  extensions: readonly Extension[];
  challengePassword: string | undefined;
  decryptKeyId: Uint8Array | undefined;
  asymmetricDecryptKeyId: Uint8Array | undefined;
}

type ReadAttribute = (value: DerReader, into: Attributes) => void;

/** A row an attribute that we read; each is single-valued. Others are checked for form and passed over. */
const attributeReaders: ReadonlyMap<string, ReadAttribute> = new Map<string, ReadAttribute>([
  [oids.extensionRequest, readExtensionRequest],
  [oids.challengePassword, readChallengePassword],
  [oids.decryptKeyId, readDecryptKeyId],
  [oids.asymmetricDecryptKeyId, readAsymmetricDecryptKeyId],
]);

// RFC 2986 §4.1: [0] IMPLICIT SET OF, there even where it is empty
function readAttributes(reader: DerReader): Attributes {
  const into: Attributes = {
    extensions: [],
    challengePassword: undefined,
    decryptKeyId: undefined,
    asymmetricDecryptKeyId: undefined,
  };
  const seen = new Set<string>();
  reader.setOf('attributes', contextConstructed(0), (set) => {
    const attribute = set.sequence('attribute');
    const type = attribute.oid('attribute');
    if (seen.has(type)) refuse(type, 'occurs twice');
    seen.add(type);
    const read = attributeReaders.get(type);
    let count = 0;
    attribute.setOf('attribute', tags.set, (value) => {
      count += 1;
      if (read === undefined) value.any('attribute');
      else read(value, into);
    });
    if (count === 0 || (count > 1 && read !== undefined)) refuse(type, `has ${count} values`);
    attribute.end('attribute');
  });
  return into;
}

// RFC 2985 §5.4.2
function readExtensionRequest(value: DerReader, into: Attributes): void {
  into.extensions = readExtensions(value, 'extension', 'ERR_CSR_EXTENSION');
}

// RFC 2985 §5.4.1
function readChallengePassword(value: DerReader, into: Attributes): void {
  const tag = value.nextTag;
  into.challengePassword = decodeString(tag, value.octetString('challengePassword', tag));
  if (into.challengePassword === undefined) refuse(oids.challengePassword, 'is no text');
}

// RFC 4108 §2.2.5
function readDecryptKeyId(value: DerReader, into: Attributes): void {
  into.decryptKeyId = value.octetString('decryptKeyIdentifier');
}

// RFC 7030 §4.4.1.2
function readAsymmetricDecryptKeyId(value: DerReader, into: Attributes): void {
  into.asymmetricDecryptKeyId = value.octetString('asymmetricDecryptKeyIdentifier');
}

function refuse(type: string, detail: string): never {
  throw new CountersignError('ERR_CSR_ATTRIBUTE', `attribute ${oidName(type)} ${detail}`, {
    fields: { type },
  });
}
