import { randomBytes } from 'node:crypto';
import { toBase64 } from '@countersign/base';

/** RFC 7030 §4.1.3, §4.2.3 */
export const certsOnlyType = 'application/pkcs7-mime; smime-type=certs-only';

export interface EstAnswer {
  readonly ok: true;
  readonly status?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One thing in base64. */
export function answerOf(type: string, bytes: Uint8Array): EstAnswer {
  // RFC 4648 §3.1: in one line, which strongSwan insists on
  return { ok: true, headers: headersOf(type), body: toBase64(bytes) };
}

/** RFC 7030 §4.4.2: several, of a type each. */
export function answerOfParts(
  parts: readonly { readonly type: string; readonly bytes: Uint8Array }[],
): EstAnswer {
  const boundary = `est-${randomBytes(12).toString('hex')}`;
  const written = parts.map(
    ({ type, bytes }) =>
      `--${boundary}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${lines(bytes)}`,
  );
  const body = `${written.join('')}--${boundary}--\r\n`;
  return { ok: true, headers: { 'Content-Type': `multipart/mixed; boundary=${boundary}` }, body };
}

/** RFC 8951 §3.1 takes the second away; clients of before insist on it, and those of now pass it over. */
function headersOf(type: string): Readonly<Record<string, string>> {
  return { 'Content-Type': type, 'Content-Transfer-Encoding': 'base64' };
}

/** RFC 2045 §6.8 */
function lines(bytes: Uint8Array): string {
  return `${toBase64(bytes).replace(/.{76}(?=.)/g, '$&\r\n')}\r\n`;
}
