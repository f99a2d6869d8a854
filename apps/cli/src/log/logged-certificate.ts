import { hash } from 'node:crypto';
import { messageOf } from '@countersign/base';
import { type LogSource, readTile, tileWidth } from '@countersign/wire';
import { formatGeneralName, parseCertificate } from '@countersign/x509';
import { printable } from '../printable.ts';
import { formatRfc3339 } from '../rfc3339.ts';

/** What a log entry says, for people and programs. */
export interface LoggedCertificate {
  readonly index: number;
  readonly serial: string;
  readonly names: readonly string[];
  /** SHA-256 of the SubjectPublicKeyInfo, lowercase hex. */
  readonly key: string;
  readonly notAfter: string;
}

/** An entry that is no certificate is told as such: the log is what it is. */
export function readEntry(
  index: number,
  entry: Uint8Array,
): LoggedCertificate | { readonly index: number; readonly malformed: string } {
  try {
    const { serialHex, subjectAltNames, spki, notAfter } = parseCertificate(entry);
    return {
      index,
      serial: serialHex,
      names: subjectAltNames.map(formatGeneralName).map(printable),
      key: hash('sha256', spki.raw),
      notAfter: formatRfc3339(notAfter),
    };
  } catch (thrown) {
    return { index, malformed: messageOf(thrown) };
  }
}

/** The entries of a log of `size` from the newest to the oldest. */
export async function* entriesBackward(
  source: LogSource,
  size: number,
): AsyncGenerator<{ readonly index: number; readonly entry: Uint8Array }> {
  for (let bundle = Math.ceil(size / tileWidth) - 1; bundle >= 0; bundle -= 1) {
    const entries = await readTile(source, { level: 'entries', index: bundle }, size);
    for (const [i, entry] of [...entries.entries()].reverse()) {
      yield { index: bundle * tileWidth + i, entry };
    }
  }
}

/** A serial as the log's certificates are told of: lowercase, minimal octets. */
export function plainSerial(text: string): string {
  const plain = text.trim().toLowerCase().replaceAll(':', '');
  const whole = plain.length % 2 === 0 ? plain : `0${plain}`;
  return whole.replace(/^(?:00)+(?=..)/, '');
}
