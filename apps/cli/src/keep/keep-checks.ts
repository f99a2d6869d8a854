import { CountersignError, messageOf } from '@countersign/base';
import {
  ConfigError,
  type ConfigPath,
  configIssue,
  type SourceDocument,
  type WrittenSigner,
} from '@countersign/config';
import { parseSpiffeId } from '@countersign/spiffe';
import { parseIpAddress } from '@countersign/x509';
import { type OutputFormat, secretFormats } from './kept-certificate.ts';
import type { OtherIssuer } from './kept-source.ts';

/** What issuers of cert-manager's documents stand for here. */
export type IssuerNames = Readonly<
  Record<string, { readonly issuer?: string | undefined; readonly profile?: string | undefined }>
>;

/** What all entries of a file share. */
export interface KeepSurroundings {
  /** Of the file. */
  readonly directory: string;
  /** Parent of folders, absolute. */
  readonly folders: string;
  readonly issuers: IssuerNames;
  /** Other people's authorities, by the names that entries say. */
  readonly authorities: Readonly<Record<string, WrittenSigner>>;
}

/** @throws CountersignError for a name that the file does not have */
export function otherIssuer(
  name: string | undefined,
  { authorities, directory }: KeepSurroundings,
): OtherIssuer | undefined {
  if (name === undefined) return undefined;
  const written = authorities[name];
  if (written !== undefined) return { written, directory };
  const known = Object.keys(authorities).join('", "');
  throw wrong(`authority "${name}" is not under keep.authorities, which has "${known}"`);
}

/** Runs a check whose refusal is told with the place that it is about. */
export function at<T>(document: SourceDocument | undefined, path: ConfigPath, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof ConfigError || document === undefined) throw thrown;
    if (!(thrown instanceof CountersignError)) throw thrown;
    throw configIssue(document, path, 'ERR_CONFIG_VALUE', messageOf(thrown));
  }
}

/** @throws CountersignError ERR_CONFIG_VALUE */
export function wrong(message: string): CountersignError {
  return new CountersignError('ERR_CONFIG_VALUE', message);
}

/**
 * A common name as one of the names that count: no client looks at the subject (RFC 9525 §2).
 *
 * @throws CountersignError for one that is no DNS name and no address
 */
export function withCommonName(
  { dns, ip }: { readonly dns: readonly string[]; readonly ip: readonly string[] },
  commonName: string | undefined,
): { readonly dns: readonly string[]; readonly ip: readonly string[] } {
  if (commonName === undefined) return { dns, ip };
  if (parseIpAddress(commonName) !== undefined) {
    return { dns, ip: [...new Set([...ip, commonName])] };
  }
  if (!/^(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$/.test(commonName)) {
    throw wrong(`common name "${commonName}" is no DNS name and no address, which alone count`);
  }
  return { dns: [...new Set([...dns, commonName])], ip };
}

/** @throws CountersignError for one that no certificate of ours has */
export function checkNames(names: {
  readonly spiffeId: string | undefined;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}): void {
  if (names.spiffeId !== undefined) parseSpiffeId(names.spiffeId);
  for (const ip of names.ip) {
    if (parseIpAddress(ip) === undefined) throw wrong(`"${ip}" is no IP address`);
  }
  if (names.spiffeId === undefined && names.dns.length + names.ip.length === 0) {
    throw wrong('it names nobody: a SPIFFE ID, a DNS name or an IP address is missing');
  }
}

export function usualMode(format: OutputFormat): number {
  return secretFormats.has(format) ? 0o600 : 0o644;
}
