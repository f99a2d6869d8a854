import { CountersignError, fromBase64, toBase64 } from '@countersign/base';

/** RFC 6960 Appendix A.1: what is appended to the responder's URL, without a slash before it. */
export function encodeOcspGetPath(request: Uint8Array): string {
  return encodeURIComponent(toBase64(request));
}

/**
 * The request's DER, of what follows the responder's URL and one slash in a GET. Clients differ in what they escape: `/`,
 * `+` and `=` are taken as they are, too.
 *
 * @throws CountersignError ERR_OCSP_GET_PATH
 */
export function decodeOcspGetPath(path: string): Uint8Array {
  const bytes = fromBase64(unescaped(path));
  if (bytes !== undefined && bytes.byteLength > 0) return bytes;
  const shown = path.length > 80 ? `${path.slice(0, 80)}…` : path;
  throw new CountersignError('ERR_OCSP_GET_PATH', `path "${shown}" is not base64 of a request`);
}

/** The path itself where its escapes are malformed: it is then no base64 either. */
function unescaped(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
