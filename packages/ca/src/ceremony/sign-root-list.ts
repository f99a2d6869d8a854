import { hash } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import {
  buildCrl,
  encodePem,
  formatName,
  parseCrl,
  type RevocationReason,
  type RevokedCertificate,
} from '@countersign/x509';
import { defaultCrl } from '../publish/publish-config.ts';
import { appendCeremony, type CeremonyEntry, readCeremony } from './ceremony-record.ts';
import { certificateOf, type OfflineRootOptions, openOfflineRoot } from './offline-root.ts';

export interface SignRootListOptions extends OfflineRootOptions {
  /** Who takes part. */
  readonly by: readonly string[];
  /** What is revoked from now on, beside what was before: serials that this root signed, lowercase hex. */
  readonly revoke: readonly { readonly serialHex: string; readonly reason: RevocationReason }[];
  /** From thisUpdate to nextUpdate. Default: `publish.crl.root_validity` of the root's ca.yaml, or 30 days. */
  readonly validityMs?: number | undefined;
}

/** What was done: who, what, when, and the hash of the list. */
export interface RootListRecord {
  readonly act: 'list signed';
  readonly at: string;
  readonly by: readonly string[];
  readonly trustDomain: string;
  readonly issuer: string;
  /** Decimal digits. */
  readonly number: string;
  readonly thisUpdate: string;
  readonly nextUpdate: string;
  readonly revoked: readonly RevokedBelow[];
  /** SHA-256 of the list's DER, lowercase hex. */
  readonly listSha256: string;
}

export interface RevokedBelow {
  readonly serial: string;
  readonly at: string;
  readonly reason: RevocationReason;
}

/**
 * The offline root signs a list of what it revoked among what it signed: the next number, everything that earlier lists
 * had, and what is revoked now. The number and what stands on the list are in the record before the key is used.
 *
 * @throws CountersignError ERR_CEREMONY_LIST, ERR_CEREMONY_ROOT, ERR_KEY_*, ERR_SIGNER_*
 */
export async function signRootList(
  options: SignRootListOptions,
): Promise<{ readonly der: Uint8Array; readonly pem: string; readonly record: RootListRecord }> {
  const { by, revoke, clock } = options;
  const root = await openOfflineRoot(options);
  try {
    // 1. What it signed, what it revoked, and which number comes next.
    const certificate = certificateOf(root);
    const entries = await readCeremony(root.ceremony);
    const now = Math.floor(clock.now() / 1000) * 1000;
    const revoked = revokedBy(entries, revoke, now);
    const last = entries.findLast((entry) => entry.kind === 'list');
    const number = BigInt(last?.number ?? 0) + 1n;
    const validityMs =
      options.validityMs ?? (root.config.publish?.crl ?? defaultCrl).rootValidityMs;
    const nextUpdate = now + validityMs;

    // 2. The record, then the signature: a number is used once, whatever happens in between.
    const signer = await root.openSigner();
    await appendCeremony(root.ceremony, { kind: 'list', number: String(number), revoked });
    const der = await buildCrl({
      signer,
      issuer: certificate.subject,
      authorityKeyId: certificate.subjectKeyId,
      thisUpdate: now,
      nextUpdate,
      crlNumber: number,
      entries: revoked.map(entryOf),
    });
    parseCrl(der);
    const record: RootListRecord = {
      act: 'list signed',
      at: time(now),
      by,
      trustDomain: root.config.trustDomain,
      issuer: formatName(certificate.subject),
      number: String(number),
      thisUpdate: time(now),
      nextUpdate: time(nextUpdate),
      revoked,
      listSha256: hash('sha256', der),
    };
    await appendCeremony(root.ceremony, { kind: 'signed list', record });
    return { der, pem: encodePem('X509 CRL', der), record };
  } finally {
    await root.close();
  }
}

/** For paper, as that of a certificate. */
export function formatRootList(record: RootListRecord): string {
  const rows = [
    ['act', record.act],
    ['when', record.at],
    ['who', record.by.join(', ')],
    ['trust domain', record.trustDomain],
    ['issuer', record.issuer],
    ['number', record.number],
    ['valid', `${record.thisUpdate} to ${record.nextUpdate}`],
    ...record.revoked.map(({ serial, at, reason }) => ['revoked', `${serial} ${reason} ${at}`]),
    ['list SHA-256', record.listSha256],
  ];
  return `ceremony record\n${rows.map(([name = '', value]) => `  ${name.padEnd(20)}${value}`).join('\n')}\n`;
}

function revokedBy(
  entries: readonly CeremonyEntry[],
  revoke: SignRootListOptions['revoke'],
  now: number,
): readonly RevokedBelow[] {
  const signed = new Set(
    entries.flatMap((entry) => (entry.kind === 'act' ? [entry.record.serial] : [])),
  );
  const known = entries.findLast((entry) => entry.kind === 'list')?.revoked ?? [];
  const revoked = new Map(known.map((each) => [each.serial, each]));
  for (const { serialHex, reason } of revoke) {
    if (!signed.has(serialHex)) {
      throw new CountersignError(
        'ERR_CEREMONY_LIST',
        `revoke serial "${serialHex}": this root's record has no such certificate`,
        { fields: { serial: serialHex } },
      );
    }
    if (!revoked.has(serialHex))
      revoked.set(serialHex, { serial: serialHex, at: time(now), reason });
  }
  return [...revoked.values()];
}

function entryOf({ serial, at, reason }: RevokedBelow): RevokedCertificate {
  return { serialHex: serial, date: Date.parse(at), reason };
}

function time(at: number): string {
  return new Date(at).toISOString();
}
