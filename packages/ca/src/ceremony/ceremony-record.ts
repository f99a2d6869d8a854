import { hash } from 'node:crypto';
import { appendFile, open, readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import {
  type Certificate,
  fingerprintOf,
  formatKeyKind,
  formatName,
  keyKindOf,
} from '@countersign/x509';
import { constraintsOf, formatConstraints } from '../constraints/name-constraints.ts';
import type { RevokedBelow, RootListRecord } from './sign-root-list.ts';

/** One act of a key ceremony: who did what, when, and the hashes by which to find it again. */
export interface CeremonyRecord {
  readonly act: 'root made' | 'root signed' | 'root cross-signed' | 'intermediate signed';
  /** RFC 3339. */
  readonly at: string;
  /** Who took part, as they named themselves. */
  readonly by: readonly string[];
  readonly trustDomain: string;
  /** SHA-256 of the root's DER, lowercase hex. */
  readonly root: string;
  readonly subject: string;
  readonly issuer: string;
  readonly key: string;
  /** SHA-256 of the SubjectPublicKeyInfo, lowercase hex. */
  readonly keySha256: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly pathLength: number | undefined;
  readonly permitted: string;
  readonly excluded: string;
  readonly policies: readonly string[];
  /** SHA-256 of the request's DER, lowercase hex; absent for the root. */
  readonly requestSha256?: string;
  /** SHA-256 of the certificate's DER, lowercase hex. */
  readonly certificateSha256: string;
}

/** The key of a root was made, before it has a certificate. */
export interface RootKeyRecord
  extends Pick<CeremonyRecord, 'at' | 'by' | 'trustDomain' | 'subject' | 'key' | 'keySha256'> {
  readonly act: 'root key made';
  readonly requestSha256: string;
}

export function recordOf(
  facts: Pick<CeremonyRecord, 'act' | 'by' | 'trustDomain'> & {
    readonly at: number;
    readonly root: Certificate;
    readonly certificate: Certificate;
    readonly csr?: Uint8Array;
  },
): CeremonyRecord {
  const { act, by, trustDomain, root, certificate, csr } = facts;
  const kind = keyKindOf(certificate.spki);
  const constraints = constraintsOf(certificate);
  return {
    act,
    at: time(facts.at),
    by,
    trustDomain,
    root: fingerprintOf(root),
    subject: formatName(certificate.subject),
    issuer: formatName(certificate.issuer),
    key: kind === undefined ? 'unknown' : formatKeyKind(kind),
    keySha256: hash('sha256', certificate.spki.raw),
    serial: certificate.serialHex,
    notBefore: time(certificate.notBefore),
    notAfter: time(certificate.notAfter),
    pathLength: certificate.basicConstraints?.pathLen,
    permitted: formatConstraints(constraints, 'permitted'),
    excluded: formatConstraints(constraints, 'excluded'),
    policies: (certificate.certificatePolicies ?? []).map(({ oid }) => oid),
    ...(csr === undefined ? {} : { requestSha256: hash('sha256', csr) }),
    certificateSha256: fingerprintOf(certificate),
  };
}

/** For paper: to be compared, signed by those who were there, and kept. */
export function formatCeremony(of: CeremonyRecord | RootKeyRecord): string {
  const record: Partial<Omit<CeremonyRecord, 'act'>> & { readonly act: string } = of;
  const isValid =
    record.notBefore === undefined ? undefined : `${record.notBefore} to ${record.notAfter}`;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['act', record.act],
    ['when', record.at],
    ['who', record.by?.join(', ')],
    ['trust domain', record.trustDomain],
    ['subject', record.subject],
    ['issuer', record.issuer],
    ['key', record.key],
    ['valid', isValid],
    ['path length', record.pathLength?.toString()],
    ['permitted', record.permitted],
    ['excluded', record.excluded],
    ['policies', record.policies?.join(', ')],
    ['serial', record.serial],
    ['key SHA-256', record.keySha256],
    ['request SHA-256', record.requestSha256],
    ['certificate SHA-256', record.certificateSha256],
    ['root SHA-256', record.root],
  ];
  const shown = rows.filter(([, value]) => value !== undefined && value !== '');
  const lines = shown.map(([name, value]) => `  ${name.padEnd(20)}${value}`);
  return `ceremony record\n${lines.join('\n')}\n`;
}

/** RFC 3339, and who took part. */
export interface GivenAgain {
  readonly at: string;
  readonly by: readonly string[];
}

/** What the record file of an offline root holds, an entry a line. */
export type CeremonyEntry =
  | { readonly kind: 'act'; readonly record: CeremonyRecord; readonly certificate: string }
  | { readonly kind: 'key'; readonly record: RootKeyRecord }
  /** A certificate of an earlier act was given out again. */
  | ({ readonly kind: 'again'; readonly serial: string } & GivenAgain)
  /** Before a signature is made: should the power fail then, the serial is known to be used. */
  | {
      readonly kind: 'intent';
      readonly at: string;
      readonly serial: string;
      readonly request: string;
    }
  /** Before a list is signed: its number is used from here on, and what stands on it stays revoked. */
  | { readonly kind: 'list'; readonly number: string; readonly revoked: readonly RevokedBelow[] }
  | { readonly kind: 'signed list'; readonly record: RootListRecord };

/** Durable when it resolves. */
export async function appendCeremony(file: string, entry: CeremonyEntry): Promise<void> {
  await appendFile(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @throws CountersignError ERR_CEREMONY_ROOT */
export async function readCeremony(file: string): Promise<CeremonyEntry[]> {
  try {
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line));
  } catch (thrown) {
    const message = `read the ceremony's record "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_CEREMONY_ROOT', message, { fields: { file }, cause: thrown });
  }
}

function time(at: number): string {
  return new Date(at).toISOString();
}
