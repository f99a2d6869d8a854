import { type Denial, denial, messageOf } from '@countersign/base';
import { parseSpiffeId, type SpiffeId } from '@countersign/spiffe';
import {
  formatGeneralName,
  formatIpAddress,
  type GeneralName,
  generalNameOfDevice,
  parseDeviceName,
  parseIpAddress,
} from '@countersign/x509';
import { parseDnsName } from './dns-name.ts';

/** Names of one certificate, each in its one spelling, none twice, in the order given. */
export interface CertificateNames {
  readonly spiffeId: SpiffeId | undefined;
  readonly dns: readonly string[];
  /** RFC 5952 for IPv6. */
  readonly ip: readonly string[];
  /** As `formatDeviceName` writes them. Given by attestation alone; none unless given. */
  readonly devices?: readonly string[] | undefined;
}

/** As people and messages write them. */
export interface WrittenNames {
  readonly spiffeId?: string | undefined;
  readonly dns?: readonly string[] | undefined;
  readonly ip?: readonly string[] | undefined;
  /** For the subject, in orders: it is judged as the names are, and need not be among them. */
  readonly commonName?: string | undefined;
  /** What an edge vouches for that has seen an attestation. */
  readonly devices?: readonly string[] | undefined;
}

export type NamesResult = { readonly ok: true; readonly names: CertificateNames } | Denial;

/** In one certificate: what the messages and the ledger's rows are bounded for. */
const mostNames = 64;

/** Denials: ERR_POLICY_SPIFFE_ID, ERR_POLICY_DNS, ERR_POLICY_IP_FORM, ERR_POLICY_NAME (too many). */
export function parseNames(written: WrittenNames): NamesResult {
  const { spiffeId, dns = [], ip = [], devices = [] } = written;
  const count = dns.length + ip.length + devices.length;
  if (count >= mostNames) {
    const sides = `${count} names are asked for, at most ${mostNames - 1}`;
    return denial('ERR_POLICY_NAME', `${sides} and a SPIFFE ID fit into a certificate`);
  }
  const names = {
    spiffeId: undefined as SpiffeId | undefined,
    dns: [] as string[],
    ip: [] as string[],
  };
  if (spiffeId !== undefined) {
    try {
      names.spiffeId = parseSpiffeId(spiffeId);
    } catch (thrown) {
      return denial('ERR_POLICY_SPIFFE_ID', messageOf(thrown), { spiffeId });
    }
  }
  for (const text of dns) {
    // Whether a wildcard may be had is the policy's to say (RFC 6125 §6.4.3: one label, the leftmost, whole).
    const star = text.startsWith('*.') ? '*.' : '';
    const read = parseDnsName(text.slice(star.length));
    if (!read.ok)
      return denial('ERR_POLICY_DNS', `DNS name "${text}" ${read.wrong}`, {
        name: text,
        wrong: read.wrong,
      });
    if (!names.dns.includes(star + read.name)) names.dns.push(star + read.name);
  }
  for (const text of ip) {
    const bytes = parseIpAddress(text);
    if (bytes === undefined) {
      return denial('ERR_POLICY_IP_FORM', `"${text}" is no IP address`, { address: text });
    }
    const address = formatIpAddress(bytes);
    if (!names.ip.includes(address)) names.ip.push(address);
  }
  const unread = devices.find((device) => parseDeviceName(device) === undefined);
  if (unread !== undefined) {
    return denial('ERR_POLICY_NAME_KIND', `"${unread}" is no name of a device`);
  }
  return { ok: true, names: devices.length === 0 ? names : { ...names, devices } };
}

/** Each name that is malformed by itself, and those that are not. */
export function sortNames(written: WrittenNames): {
  readonly malformed: readonly Denial[];
  readonly rest: WrittenNames;
} {
  const malformed: Denial[] = [];
  const isWellFormed = (name: WrittenNames): boolean => {
    const read = parseNames(name);
    if (!read.ok) malformed.push(read);
    return read.ok;
  };
  const { spiffeId } = written;
  const rest = {
    ...(spiffeId !== undefined && isWellFormed({ spiffeId }) && { spiffeId }),
    dns: written.dns?.filter((name) => isWellFormed({ dns: [name] })),
    ip: written.ip?.filter((address) => isWellFormed({ ip: [address] })),
  };
  return { malformed, rest };
}

/** Whether certificates ever hold names of a kind: the last is how devices are named. */
export function isGrantedKind(kind: GeneralName['kind']): boolean {
  return kind === 'dns' || kind === 'ip' || kind === 'uri' || kind === 'otherName';
}

/**
 * The names of subject alternative names: of a request, or of a certificate that is renewed.
 * Denials as {@link parseNames}, and ERR_POLICY_NAME_KIND.
 *
 * @param granted names of devices that are let stand: without an attestation none are, nor after it for another key
 */
export function namesOf(
  alternatives: readonly GeneralName[],
  granted: readonly string[] = [],
): NamesResult {
  const uris: string[] = [];
  const dns: string[] = [];
  const ip: string[] = [];
  const devices: string[] = [];
  for (const name of alternatives) {
    if (name.kind === 'dns') dns.push(name.value);
    else if (name.kind === 'ip') ip.push(formatIpAddress(name.bytes));
    else if (name.kind === 'uri') uris.push(name.value);
    else if (isAmong(name, granted))
      devices.push(...granted.filter((each) => isAmong(name, [each])));
    else return refuseKind(name);
  }
  const [spiffeId, second] = uris;
  if (second !== undefined) {
    // X509-SVID §2: exactly one URI in the subject alternative names.
    const sides = `${uris.length} URIs are asked for, a certificate has one SPIFFE ID`;
    return denial('ERR_POLICY_SPIFFE_ID', sides, { uris });
  }
  return parseNames({ spiffeId, dns, ip, devices });
}

/** Names as the ledger keeps them, back in their kinds. */
export function writtenNames(formatted: readonly string[]): WrittenNames {
  const of = (kind: string): string[] =>
    formatted.flatMap((name) => (name.startsWith(kind) ? [name.slice(kind.length)] : []));
  return { spiffeId: of('uri:')[0], dns: of('dns:'), ip: of('ip:') };
}

/** In the order of encoding: SPIFFE ID, DNS names, addresses. */
export function alternativesOf(names: CertificateNames): GeneralName[] {
  const all: GeneralName[] = [];
  const { spiffeId } = names;
  if (spiffeId !== undefined) all.push({ kind: 'uri', value: spiffeId.toString() });
  for (const value of names.dns) all.push({ kind: 'dns', value });
  for (const text of names.ip) {
    all.push({ kind: 'ip', bytes: parseIpAddress(text) ?? new Uint8Array() });
  }
  for (const text of names.devices ?? []) {
    const device = parseDeviceName(text);
    if (device !== undefined) all.push(generalNameOfDevice(device));
  }
  return all;
}

/** As `formatGeneralName` writes them: `uri:…`, `dns:…`, `ip:…`. */
export function formatNames(names: CertificateNames): string[] {
  return [
    ...(names.spiffeId === undefined ? [] : [`uri:${names.spiffeId}`]),
    ...names.dns.map((name) => `dns:${name}`),
    ...names.ip.map((address) => `ip:${address}`),
    ...(names.devices ?? []),
  ];
}

/** The names of `asked` that `granted` lacks. */
export function namesBeyond(asked: CertificateNames, granted: CertificateNames): string[] {
  const has = new Set(formatNames(granted));
  return formatNames(asked).filter((name) => !has.has(name));
}

export function countNames(names: CertificateNames): number {
  const devices = names.devices?.length ?? 0;
  return names.dns.length + names.ip.length + devices + (names.spiffeId === undefined ? 0 : 1);
}

function isAmong(name: GeneralName, devices: readonly string[]): boolean {
  const written = formatGeneralName(name);
  return devices.some((each) => {
    const device = parseDeviceName(each);
    return device !== undefined && formatGeneralName(generalNameOfDevice(device)) === written;
  });
}

function refuseKind(name: GeneralName): Denial {
  const written = formatGeneralName(name).slice(0, 200);
  const sides = `"${written}" is asked for, certificates here carry SPIFFE IDs, DNS names and IP addresses`;
  return denial('ERR_POLICY_NAME_KIND', sides, { kind: name.kind });
}
