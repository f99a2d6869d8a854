import { CountersignError } from '@countersign/base';
import { readAlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { DerLimits } from '../der-limits.ts';
import { DerReader } from '../der-reader.ts';
import { readGeneralName } from '../general-name.ts';
import { oids } from '../oids.ts';
import { contextConstructed } from '../tags.ts';
import { readCertId } from './cert-id.ts';
import { readNonce, readTaggedExtensions, unknownCritical } from './ocsp-extensions.ts';
import type { OcspRequest, OcspRequestSignature, OcspSingleRequest } from './ocsp-request.ts';

/** Some 200 certificates in one request, or a signature with its certificates. */
export const ocspRequestLimits: DerLimits = {
  maxBytes: 24 * 1024,
  maxDepth: 24,
  maxElements: 3000,
};

/**
 * One request in canonical DER. The result's bytes are views: the caller leaves `bytes` alone.
 *
 * @throws DerError ERR_DER_*; CountersignError ERR_OCSP_VERSION, ERR_OCSP_EXTENSION, ERR_OCSP_NONCE
 */
export function parseOcspRequest(
  bytes: Uint8Array,
  limits: DerLimits = ocspRequestLimits,
): OcspRequest {
  const reader = DerReader.over(bytes, 'OCSP request', limits);
  const outer = reader.sequence('OCSP request');
  reader.end('OCSP request');
  const start = outer.offset;
  const inner = outer.sequence('OCSP request');
  const tbs = outer.since(start);
  const signature = readSignature(outer);
  outer.end('OCSP request');

  refuseVersion(inner);
  const requestorName = readRequestorName(inner);
  const list = inner.sequenceOfSome('request list');
  const requests: OcspSingleRequest[] = [];
  while (!list.atEnd) requests.push(readSingleRequest(list));
  const extensions = readTaggedExtensions(inner, contextConstructed(2), 'request extension');
  inner.end('OCSP request');

  return {
    raw: reader.since(0),
    tbs,
    requestorName,
    requests,
    nonce: readNonce(reader, extensions),
    extensions,
    unknownCriticalExtensions: [
      ...unknownCritical(extensions, [oids.ocspNonce]),
      ...requests.flatMap((single) => unknownCritical(single.extensions, [])),
    ],
    signature,
  };
}

/** RFC 6960 §4.1.1: v1 is the default, which DER leaves out. Takes the [0] of a request or of an answer. */
export function refuseVersion(reader: DerReader): void {
  if (reader.nextTag !== contextConstructed(0)) return;
  const explicit = reader.constructed('version', contextConstructed(0));
  const version = explicit.smallInteger('version', 0xffff);
  if (version === 0) explicit.fail('ERR_DER_DEFAULT', 'version', 'version 1 is encoded');
  const message = `OCSP message of version number ${version}, none (v1) expected`;
  throw new CountersignError('ERR_OCSP_VERSION', message, { fields: { version } });
}

/** The DER of each Certificate of the explicit [0], or none where it is absent. */
export function readRawCertificates(reader: DerReader): Uint8Array[] {
  if (reader.nextTag !== contextConstructed(0)) return [];
  const explicit = reader.constructed('certificates', contextConstructed(0));
  const list = explicit.sequence('certificates');
  explicit.end('certificates');
  const certificates: Uint8Array[] = [];
  while (!list.atEnd) certificates.push(list.any('certificate'));
  return certificates;
}

function readRequestorName(reader: DerReader): OcspRequest['requestorName'] {
  if (reader.nextTag !== contextConstructed(1)) return undefined;
  const explicit = reader.constructed('requestor name', contextConstructed(1));
  const name = readGeneralName(explicit, 'requestor name');
  explicit.end('requestor name');
  return name;
}

function readSingleRequest(reader: DerReader): OcspSingleRequest {
  const inner = reader.sequence('single request');
  const certId = readCertId(inner, 'certificate identifier');
  const what = 'single request extension';
  const extensions = readTaggedExtensions(inner, contextConstructed(0), what);
  inner.end('single request');
  return { certId, extensions };
}

function readSignature(reader: DerReader): OcspRequestSignature | undefined {
  if (reader.nextTag !== contextConstructed(0)) return undefined;
  const explicit = reader.constructed('request signature', contextConstructed(0));
  const inner = explicit.sequence('request signature');
  explicit.end('request signature');
  const algorithm = readAlgorithmIdentifier(inner, 'signature algorithm');
  const value = inner.bitString('signature');
  const certificates = readRawCertificates(inner);
  inner.end('request signature');
  return { algorithm, value, certificates };
}
