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
  return { ok: true, headers: headersOf(type), body: lines(bytes) };
}

/** RFC 7030 §4.4.2: several, of a type each. */
export function answerOfParts(
  parts: readonly { readonly type: string; readonly bytes: Uint8Array }[],
): EstAnswer {
  const boundary = `est-${randomBytes(12).toString('hex')}`;
  const written = parts.map(
    ({ type, bytes }) =>
      `--${boundary}\r\ncontent-type: ${type}\r\ncontent-transfer-encoding: base64\r\n\r\n${lines(bytes)}`,
  );
  const body = `${written.join('')}--${boundary}--\r\n`;
  return { ok: true, headers: { 'content-type': `multipart/mixed; boundary=${boundary}` }, body };
}

/** RFC 8951 §3.1 takes the second away; clients of before insist on it, and those of now pass it over. */
function headersOf(type: string): Readonly<Record<string, string>> {
  return { 'content-type': type, 'content-transfer-encoding': 'base64' };
}

function lines(bytes: Uint8Array): string {
  return `${toBase64(bytes).replace(/.{76}(?=.)/g, '$&\r\n')}\r\n`;
}
