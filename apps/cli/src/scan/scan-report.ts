import { counted } from '@countersign/base';
import type { CertificateOfKey, RevokeResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { printable } from '../printable.ts';
import { validityAt } from '../relative-time.ts';
import type { Exposure, LocatedKey, ScanResult } from './scan-result.ts';

/** Issued certificates by the key's hash; undefined where no authority was asked. */
export type Matches = ReadonlyMap<string, readonly CertificateOfKey[]>;

export interface Report {
  readonly result: ScanResult;
  readonly matches: Matches | undefined;
  /** The command that revokes a key. */
  readonly revocationOf: (spkiHash: string) => string;
  /** Keys that are where they may be are listed too. */
  readonly all: boolean;
  readonly now: number;
}

export function isFinding(key: LocatedKey): boolean {
  return key.exposures.length > 0;
}

/** The keys for which there is something to revoke, each once. */
export function keysToRevoke({ result, matches, now }: Omit<Report, 'revocationOf'>): string[] {
  const hashes = result.keys.filter(isFinding).flatMap(({ spkiHash }) => spkiHash ?? []);
  return [...new Set(hashes)].filter((hash) =>
    matches?.get(hash)?.some((each) => isLive(each, now)),
  );
}

/** One JSON document: what `-o json` prints. */
export function jsonOf(report: Report, revocations: readonly RevokeResponse[]): string {
  const { result, all } = report;
  const shown = (key: LocatedKey) => ({ ...key, ...certificatesOf(report, key) });
  return JSON.stringify(
    {
      findings: result.keys.filter(isFinding).map(shown),
      ...(all && { others: result.keys.filter((key) => !isFinding(key)).map(shown) }),
      unread: result.unread,
      files: result.files,
      bytes: result.bytes,
      ...(revocations.length > 0 && { revocations }),
    },
    null,
    2,
  );
}

function certificatesOf(report: Report, { spkiHash }: LocatedKey) {
  const certificates = spkiHash === undefined ? undefined : report.matches?.get(spkiHash);
  if (spkiHash === undefined || certificates === undefined) return {};
  const isLiveKey = certificates.some((each) => isLive(each, report.now));
  return { certificates, ...(isLiveKey && { revoke: report.revocationOf(spkiHash) }) };
}

function isLive({ status, notAfter }: CertificateOfKey, now: number): boolean {
  return status !== 'revoked' && notAfter > now;
}

export function textOf({ outStyle }: Cli, report: Report): string {
  const { result, all, matches } = report;
  const { bold, dim, red, yellow } = outStyle;
  const findings = result.keys.filter(isFinding);
  const others = result.keys.filter((key) => !isFinding(key));
  const shown = [
    ...findings.map((key) => ({ key, head: red('private key') })),
    ...(all ? others.map((key) => ({ key, head: dim('private key, where it may be') })) : []),
  ];
  const parts = shown.map(({ key, head }) => {
    const at = key.line === undefined ? key.path : `${key.path}:${key.line}`;
    const lines = [...factsOf(key), ...certificateLines(report, key)];
    return `${head} ${bold(printable(at))}\n${lines.map((line) => `  ${printable(line)}\n`).join('')}`;
  });
  for (const { path, reason, code } of result.unread) {
    parts.push(`${yellow('not read')} ${printable(`${path}: ${reason}`)} ${dim(code)}\n`);
  }
  const summary = [
    `${counted(findings.length, 'private key')} where ${findings.length === 1 ? 'it' : 'they'} should not be`,
    ...(others.length > 0
      ? [`${others.length} where ${others.length === 1 ? 'it' : 'they'} may be`]
      : []),
    `${counted(result.files, 'file')}, ${formatBytes(result.bytes)}`,
    ...(result.unread.length > 0 ? [`${result.unread.length} not read`] : []),
  ];
  parts.push(`${summary.join('; ')}\n`);
  if (matches === undefined && findings.some((key) => key.spkiHash !== undefined)) {
    parts.push(dim('with --data DIR, the certificates that were issued for them are named\n'));
  }
  return parts.join('');
}

function factsOf(key: LocatedKey): string[] {
  const form = [`${key.form} in ${key.encoding}`, key.algorithm, key.note];
  return [
    form.filter((fact) => fact !== undefined).join(', '),
    ...(key.exposures.length > 0 ? [key.exposures.map(sentenceOf).join('; ')] : []),
    ...(key.spkiHash === undefined ? [] : [`SPKI SHA-256 ${key.spkiHash}`]),
  ];
}

const sentences: {
  readonly [K in Exposure['kind']]: (exposure: Extract<Exposure, { kind: K }>) => string;
} = {
  'readable-by-others': ({ mode }) => `everybody may read it (mode ${mode})`,
  'readable-by-group': ({ mode }) => `its group may read it (mode ${mode})`,
  'tracked-by-git': ({ repository }) => `git tracks it in "${repository}"`,
  'in-image': ({ image }) => `it is in the container image "${image}"`,
  'in-archive': ({ archive }) => `it is in the archive "${archive}"`,
};

function sentenceOf(exposure: Exposure): string {
  return sentences[exposure.kind](exposure as never);
}

function certificateLines(report: Report, { spkiHash }: LocatedKey): string[] {
  const certificates = spkiHash === undefined ? undefined : report.matches?.get(spkiHash);
  if (spkiHash === undefined || certificates === undefined) return [];
  if (certificates.length === 0) return ['no certificate of this authority is for it'];
  const lines = certificates.map(({ serial, spiffeId, names, status, issuedAt, notAfter }) => {
    const name = spiffeId ?? names.join(', ');
    const state = status === 'revoked' ? status : validityAt(issuedAt, notAfter, report.now);
    return `certificate ${serial} of ${name}, ${state}`;
  });
  const isLiveKey = certificates.some((each) => isLive(each, report.now));
  return isLiveKey ? [...lines, `revoke: ${report.revocationOf(spkiHash)}`] : lines;
}

export function revocationsText(cli: Cli, answers: readonly RevokeResponse[]): string {
  const { bold, green } = cli.outStyle;
  return answers
    .map(({ value, matched, gateways, closed, acknowledgedBy, dryRun }) => {
      const covered = `key ${value}: ${counted(matched, 'unexpired certificate')}`;
      if (dryRun) {
        return `${bold('would revoke')} ${covered}; ${counted(gateways.length, 'gateway')} would be told\n`;
      }
      const told = `acknowledged by ${acknowledgedBy} of ${counted(gateways.length, 'gateway')}`;
      return `${green('revoked')} ${covered}, closed ${counted(closed, 'connection')}, ${told}\n`;
    })
    .join('');
}

export function formatBytes(bytes: number): string {
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 'bytes';
  for (const next of units) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return `${unit === 'bytes' ? value : value.toFixed(1)} ${unit}`;
}
