import { CountersignError } from '@countersign/base';
import { type Certificate, certificatesFromPem, parseCertificate } from '@countersign/x509';

const maxCertificates = 256;

/**
 * Certificates from PEM text, or from DER one after the other, as the SPIFFE Workload API sends chains and bundles.
 *
 * @throws CountersignError ERR_BUNDLE_SYNTAX, ERR_BUNDLE_LIMIT, or what the PEM and DER readers say
 */
export function certificatesFrom(encoded: string | Uint8Array): readonly Certificate[] {
  const certificates =
    typeof encoded === 'string'
      ? certificatesFromPem(encoded)
      : splitSequences(encoded).map((der) => parseCertificate(der));
  if (certificates.length <= maxCertificates) return certificates;
  throw new CountersignError(
    'ERR_BUNDLE_LIMIT',
    `${certificates.length} certificates, at most ${maxCertificates} are read`,
  );
}

/** Cuts at the outer length of each SEQUENCE; what is inside is the certificate parser's. */
function splitSequences(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let offset = 0;
  while (offset < bytes.byteLength && parts.length <= maxCertificates) {
    const end = endOfSequence(bytes, offset);
    parts.push(bytes.subarray(offset, end));
    offset = end;
  }
  return parts;
}

function endOfSequence(bytes: Uint8Array, start: number): number {
  const first = bytes[start + 1] ?? 0;
  const lengthOctets = first < 0x80 ? 0 : first - 0x80;
  const contentStart = start + 2 + lengthOctets;
  // X.690 §10.1: definite lengths. Four octets would be a certificate of over 16 MiB.
  if (
    bytes[start] !== 0x30 ||
    first === 0x80 ||
    lengthOctets > 3 ||
    contentStart > bytes.byteLength
  ) {
    throw notDer(start);
  }
  let length = lengthOctets === 0 ? first : 0;
  for (let i = start + 2; i < contentStart; i += 1) length = length * 256 + (bytes[i] ?? 0);
  if (contentStart + length > bytes.byteLength) throw notDer(start);
  return contentStart + length;
}

function notDer(offset: number): CountersignError {
  return new CountersignError('ERR_BUNDLE_SYNTAX', `no whole DER certificate at byte ${offset}`, {
    fields: { offset },
  });
}
