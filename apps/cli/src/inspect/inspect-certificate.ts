import { createHash } from 'node:crypto';
import { toHex } from '@countersign/base';
import {
  type AlgorithmIdentifier,
  type Certificate,
  fingerprintOf,
  formatGeneralName,
  formatKeyKind,
  formatName,
  keyKindOf,
  type Name,
  oidName,
  type SubjectPublicKeyInfo,
  signatureAlgorithmOf,
} from '@countersign/x509';
import { roughDuration, validityAt } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { certificateExtensions, extensionLine } from './inspect-extensions.ts';
import type { Inspection, InspectionRow } from './inspection.ts';

/** What a certificate holds; `now` is for the relative times alone, nothing is judged. */
export function inspectCertificate(certificate: Certificate, now: number): Inspection {
  const { notBefore, notAfter, subjectAltNames, serialHex, version, spki } = certificate;
  const extensions = certificateExtensions(certificate);
  const names = subjectAltNames.map(formatGeneralName);
  const facts = {
    subject: formatName(certificate.subject),
    issuer: formatName(certificate.issuer),
    serial: serialHex,
    version,
    notBefore: formatRfc3339(notBefore),
    notAfter: formatRfc3339(notAfter),
    validNow: now >= notBefore && now <= notAfter,
    names,
    ca: certificate.basicConstraints?.ca === true,
    key: keyFacts(spki),
    signatureAlgorithm: algorithmName(certificate.signatureAlgorithm),
    extensions,
    sha256: fingerprintOf(certificate),
  };
  const rows: InspectionRow[] = [
    ['subject', nameLine(certificate.subject)],
    ['issuer', nameLine(certificate.issuer)],
    ['serial', serialHex],
    [
      'valid',
      [
        `${facts.notBefore} to ${facts.notAfter}`,
        `for ${roughDuration(notAfter - notBefore)}, ${validityAt(notBefore, notAfter, now)}`,
      ],
    ],
    ['names', names],
    ['key', keyLines(spki)],
    ['signed with', facts.signatureAlgorithm],
    ['extensions', extensions.filter(({ name }) => name !== 'subjectAltName').map(extensionLine)],
    ['SHA-256', facts.sha256],
  ];
  return { kind: 'certificate', facts, rows };
}

export function keyFacts(spki: SubjectPublicKeyInfo): { algorithm: string; sha256: string } {
  const kind = keyKindOf(spki);
  return {
    algorithm: kind === undefined ? oidName(spki.algorithm.oid) : formatKeyKind(kind),
    sha256: toHex(createHash('sha256').update(spki.raw).digest()),
  };
}

export function keyLines(spki: SubjectPublicKeyInfo): string[] {
  const { algorithm, sha256 } = keyFacts(spki);
  return [algorithm, `SHA-256 of its SPKI ${sha256}`];
}

export function nameLine(name: Name): string {
  const text = formatName(name);
  return text === '' ? '(empty)' : text;
}

export function algorithmName(algorithm: AlgorithmIdentifier): string {
  return signatureAlgorithmOf(algorithm)?.name ?? oidName(algorithm.oid);
}
