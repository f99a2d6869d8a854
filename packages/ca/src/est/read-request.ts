import { fromBase64 } from '@countersign/base';
import type { CertificateRequest } from '@countersign/x509';
import { decodePemOf } from '@countersign/x509';
import { readRequest } from '../issue.ts';
import { type EstHttp, header } from './est-http.ts';
import { type EstRefusal, refusal, refusalOfDenial } from './est-refusal.ts';

/** PKCS #10 in base64, in lines; a request with an ML-DSA-87 key fits. */
export const maxBodyBytes = 64 * 1024;

/** RFC 7030 §4.2.1: PKCS #10 in base64, with white space between (RFC 8951 §3.1); PEM as well, which some clients send. */
export function readEstRequest(
  http: Pick<EstHttp, 'headers'>,
  body: Uint8Array,
): { readonly ok: true; readonly csr: CertificateRequest } | EstRefusal {
  const [type = ''] = (header(http, 'content-type') ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/pkcs10') {
    const shown = type.trim().slice(0, 80);
    return refusal('mediaType', `the content type is "${shown}", expected "application/pkcs10"`);
  }
  const text = Buffer.from(body).toString('latin1');
  const der = text.includes('-----BEGIN') ? pemOf(text) : fromBase64(text.replaceAll(/[\s]/g, ''));
  if (der === undefined || der.byteLength === 0) {
    return refusal('request', 'the body is no request in base64');
  }
  const read = readRequest(der);
  return read.ok ? read : refusalOfDenial(read);
}

function pemOf(text: string): Uint8Array | undefined {
  try {
    const blocks = decodePemOf(text, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']);
    return blocks.length === 1 ? blocks[0] : undefined;
  } catch {
    return undefined;
  }
}
