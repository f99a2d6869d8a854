import { CountersignError } from '@countersign/base';
import { readAlgorithmIdentifier } from '../algorithm-identifier.ts';
import { readWhole } from '../decoded-extensions.ts';
import type { DerLimits } from '../der-limits.ts';
import { DerReader } from '../der-reader.ts';
import { type Extension, findExtension } from '../extension.ts';
import { readName } from '../name.ts';
import { oids } from '../oids.ts';
import { parseCertificate } from '../parse-certificate.ts';
import { type RevocationReason, revocationReasonOf } from '../revocation-reason.ts';
import { contextConstructed, contextTag, tags } from '../tags.ts';
import { readCertId } from './cert-id.ts';
import { readNonce, readTaggedExtensions, unknownCritical } from './ocsp-extensions.ts';
import {
  type BasicOcspResponse,
  type OcspCertStatus,
  type OcspResponse,
  type OcspResponseStatus,
  type OcspSingleResponse,
  ocspResponseStatuses,
  type ResponderId,
} from './ocsp-response.ts';
import { readRawCertificates, refuseVersion } from './parse-ocsp-request.ts';

/** Some 200 certificates in one answer, and the chain of an ML-DSA responder. */
export const ocspResponseLimits: DerLimits = {
  maxBytes: 128 * 1024,
  maxDepth: 24,
  maxElements: 20_000,
};

/**
 * One answer in canonical DER. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @throws DerError ERR_DER_*; CountersignError ERR_OCSP_VERSION, ERR_OCSP_EXTENSION, ERR_OCSP_NONCE,
 *   ERR_OCSP_RESPONSE_BYTES, ERR_OCSP_RESPONSE_TYPE, and ERR_CERT_* for a certificate inside
 */
export function parseOcspResponse(
  bytes: Uint8Array,
  limits: DerLimits = ocspResponseLimits,
): OcspResponse {
  const reader = DerReader.over(bytes, 'OCSP response', limits);
  const outer = reader.sequence('OCSP response');
  reader.end('OCSP response');
  const raw = reader.since(0);
  const status = readStatus(outer);
  const body = outer.atEnd ? undefined : readResponseBytes(outer);
  outer.end('OCSP response');
  if (status === 'successful') {
    if (body === undefined) refuseBytes('status successful without a response');
    return { raw, status, basic: readBasicResponse(reader.within(body)) };
  }
  // RFC 6960 §4.2.1: responseBytes are not set beside an error status
  if (body !== undefined) refuseBytes(`status ${status} with a response`);
  return { raw, status, basic: undefined };
}

const statusesByNumber = new Map<number, OcspResponseStatus>(
  Object.entries(ocspResponseStatuses).map(([status, number]) => [
    number,
    status as OcspResponseStatus,
  ]),
);

function readStatus(reader: DerReader): OcspResponseStatus {
  const number = reader.smallInteger('response status', 0xff, tags.enumerated);
  const status = statusesByNumber.get(number);
  if (status === undefined) {
    reader.fail('ERR_DER_VALUE', 'response status', `status ${number} is not in use`);
  }
  return status;
}

/** The content of the BasicOCSPResponse's OCTET STRING. */
function readResponseBytes(reader: DerReader): Uint8Array {
  const explicit = reader.constructed('response bytes', contextConstructed(0));
  const inner = explicit.sequence('response bytes');
  explicit.end('response bytes');
  const type = inner.oid('response type');
  const body = inner.octetString('response');
  inner.end('response bytes');
  if (type === oids.ocspBasic) return body;
  const message = `OCSP response of type ${type}, ${oids.ocspBasic} (basic) expected`;
  throw new CountersignError('ERR_OCSP_RESPONSE_TYPE', message, { fields: { type } });
}

function readBasicResponse(reader: DerReader): BasicOcspResponse {
  const whole = reader.offset;
  const outer = reader.sequence('basic response');
  reader.end('basic response');
  const start = outer.offset;
  const inner = outer.sequence('response data');
  const tbs = outer.since(start);
  const signatureAlgorithm = readAlgorithmIdentifier(outer, 'signature algorithm');
  const signature = outer.bitString('signature');
  const certificates = readRawCertificates(outer);
  outer.end('basic response');

  refuseVersion(inner);
  const responderId = readResponderId(inner);
  const producedAt = inner.generalizedTime('producedAt');
  const list = inner.sequenceOfSome('responses');
  const responses: OcspSingleResponse[] = [];
  while (!list.atEnd) responses.push(readSingleResponse(list));
  const extensions = readTaggedExtensions(inner, contextConstructed(1), 'response extension');
  inner.end('response data');

  return {
    raw: reader.since(whole),
    tbs,
    responderId,
    producedAt,
    responses,
    nonce: readNonce(reader, extensions),
    extensions,
    unknownCriticalExtensions: unknownCritical(extensions, [oids.ocspNonce]),
    signatureAlgorithm,
    signature,
    certificates: certificates.map((raw) => parseCertificate(raw, undefined, passedOver)),
  };
}

/**
 * What tells nothing about a responder. Responders with an empty subjectAltName are met in the wild; it is against RFC
 * 5280 §4.2.1.6, and no reason not to know of a revocation.
 */
const passedOver: ReadonlySet<string> = new Set([oids.subjectAltName, oids.issuerAltName]);

function readResponderId(reader: DerReader): ResponderId {
  if (reader.nextTag === contextConstructed(2)) {
    const explicit = reader.constructed('responder key hash', contextConstructed(2));
    const keyHash = explicit.octetString('responder key hash');
    explicit.end('responder key hash');
    return { kind: 'key', keyHash };
  }
  const explicit = reader.constructed('responder name', contextConstructed(1));
  const name = readName(explicit, 'responder name');
  explicit.end('responder name');
  return { kind: 'name', name };
}

function readSingleResponse(reader: DerReader): OcspSingleResponse {
  const inner = reader.sequence('single response');
  const certId = readCertId(inner, 'certificate identifier');
  const status = readCertStatus(inner);
  const thisUpdate = inner.generalizedTime('thisUpdate');
  const nextUpdate = readNextUpdate(inner);
  const what = 'single response extension';
  const extensions = readTaggedExtensions(inner, contextConstructed(1), what);
  inner.end('single response');
  return {
    certId,
    status,
    thisUpdate,
    nextUpdate,
    archiveCutoff: readArchiveCutoff(reader, extensions),
    extensions,
    unknownCriticalExtensions: unknownCritical(extensions, [oids.ocspArchiveCutoff]),
  };
}

function readCertStatus(reader: DerReader): OcspCertStatus {
  const tag = reader.nextTag;
  if (tag === contextConstructed(1)) return readRevoked(reader);
  const isGood = tag === contextTag(0);
  const content = reader.octetString('certificate status', isGood ? tag : contextTag(2));
  if (content.byteLength > 0) {
    reader.fail('ERR_DER_VALUE', 'certificate status', 'NULL with content');
  }
  return isGood ? good : unknown;
}

const good: OcspCertStatus = { status: 'good' };
const unknown: OcspCertStatus = { status: 'unknown' };

function readRevoked(reader: DerReader): OcspCertStatus {
  const inner = reader.constructed('revoked status', contextConstructed(1));
  const at = inner.generalizedTime('revocation time');
  const reason = readReason(inner);
  inner.end('revoked status');
  return { status: 'revoked', at, reason };
}

function readReason(reader: DerReader): RevocationReason {
  if (reader.nextTag !== contextConstructed(0)) return 'unspecified';
  const explicit = reader.constructed('revocation reason', contextConstructed(0));
  const number = explicit.smallInteger('revocation reason', 10, tags.enumerated);
  explicit.end('revocation reason');
  const reason = revocationReasonOf(number);
  if (reason === undefined) {
    reader.fail('ERR_DER_VALUE', 'revocation reason', `reason ${number} is not in use`);
  }
  return reason;
}

function readNextUpdate(reader: DerReader): number | undefined {
  if (reader.nextTag !== contextConstructed(0)) return undefined;
  const explicit = reader.constructed('nextUpdate', contextConstructed(0));
  const nextUpdate = explicit.generalizedTime('nextUpdate');
  explicit.end('nextUpdate');
  return nextUpdate;
}

function readArchiveCutoff(
  reader: DerReader,
  extensions: readonly Extension[],
): number | undefined {
  const found = findExtension(extensions, oids.ocspArchiveCutoff);
  if (found === undefined) return undefined;
  const read = (inner: DerReader, what: string): number => inner.generalizedTime(what);
  return readWhole(reader, found, read, 'ERR_OCSP_EXTENSION');
}

function refuseBytes(detail: string): never {
  throw new CountersignError('ERR_OCSP_RESPONSE_BYTES', `OCSP response of ${detail}`);
}
