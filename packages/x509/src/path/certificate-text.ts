import type { Certificate } from '../certificate.ts';
import { formatGeneralName, type GeneralName } from '../general-name.ts';
import { formatName, type Name } from '../name.ts';

const longestText = 160;

/**
 * How refusals call a certificate: its subject, else its first name, else its serial number.
 * Bounded in length.
 */
export function certificateText(certificate: Certificate): string {
  if (certificate.subject.rdns.length > 0) return nameText(certificate.subject);
  const [first] = certificate.subjectAltNames;
  return first === undefined ? `serial ${shorten(certificate.serialHex)}` : generalNameText(first);
}

export function nameText(name: Name): string {
  return shorten(formatName(name));
}

export function generalNameText(name: GeneralName): string {
  return shorten(formatGeneralName(name));
}

/** RFC 3339 in whole seconds. */
export function timeText(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime())
    ? `${at} ms since 1970`
    : date.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** A stranger wrote these texts: they neither grow without bound nor steer a terminal. */
export function shorten(text: string): string {
  const printable = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
  return printable.length <= longestText ? printable : `${printable.slice(0, longestText)}…`;
}
