import { type Denial, denial, type ErrorCode, type Fields } from '@countersign/base';
import type { Certificate } from '@countersign/x509';

/** RFC 5280 §4.1.2.2: 20 octets. */
const longestSerial = 40;

/** For refusals: a stranger's serial may be as long as its certificate, and no log line shall be. */
export function serialText({ serialHex }: Pick<Certificate, 'serialHex'>): string {
  return shorten(serialHex, longestSerial);
}

/** Of a text that a stranger chose, as much as tells what is wrong. */
export function strangersText(text: string): string {
  return shorten(text, 300);
}

export function refuseCertificate(
  certificate: Certificate,
  code: ErrorCode,
  reason: string,
  fields: Fields = {},
): Denial {
  const serial = serialText(certificate);
  return denial(code, `certificate ${serial} ${reason}`, { serial, ...fields });
}

function shorten(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest)}…`;
}
