import { messageOf } from '@countersign/base';
import { parseSpiffeId } from '@countersign/spiffe';
import { formatIpAddress, parseIpAddress, parseIpNetwork } from '@countersign/x509';
import type { CertificateNames } from '../certificate-names.ts';
import { matchesDnsPattern, parseDnsPattern } from '../dns-name.ts';
import { globMatches } from './text-glob.ts';

/** One name of a certificate, as rules see it. */
export interface GivenName {
  readonly kind: 'spiffe' | 'dns' | 'ip' | 'device';
  readonly value: string;
  /** `uri:spiffe://…`, `dns:…`, `ip:…`, `permanent-identifier:…`, `hardware-module:…`. */
  readonly text: string;
}

/** Names that an entry of an allow or deny list stands for. */
export interface NamePattern {
  readonly written: string;
  matches(name: GivenName): boolean;
}

export type NamePatternResult =
  | { readonly ok: true; readonly pattern: NamePattern }
  /** The end of a sentence that begins with the pattern. */
  | { readonly ok: false; readonly wrong: string };

/**
 * Reads an entry: `*.prod.internal` or `dns:…` (as `allowed_dns_patterns` has them), `spiffe://…` (`*` is one path
 * segment; `**`, as the last, one or more), `ip:10.0.0.0/8` or an address, `permanent-identifier:…` and `hardware-module:…` (`*` is
 * anything), and `*` for every name.
 */
export function parseNamePattern(text: string, trustDomain: string): NamePatternResult {
  if (text === '*') return { ok: true, pattern: { written: text, matches: () => true } };
  if (/^(?:permanent-identifier|hardware-module):./.test(text)) return devicePattern(text);
  const uri = text.startsWith('uri:') ? text.slice(4) : text;
  if (uri.includes('://')) return spiffePattern(uri, text, trustDomain);
  const isPlainAddress = parseIpAddress(text) ?? parseIpNetwork(text);
  if (text.startsWith('ip:')) return addressPattern(text.slice(3), text);
  if (isPlainAddress !== undefined) return addressPattern(text, text);
  return dnsPattern(text.startsWith('dns:') ? text.slice(4) : text, text);
}

/** Whether a SPIFFE ID is one of those that a pattern stands for; for callers, who may have none. */
export function matchesSpiffe(pattern: NamePattern, id: string): boolean {
  return pattern.matches({ kind: 'spiffe', value: id, text: id });
}

export function givenNames(names: CertificateNames): GivenName[] {
  const given: GivenName[] = [];
  const { spiffeId } = names;
  if (spiffeId !== undefined) given.push(nameOf('spiffe', 'uri', `${spiffeId}`));
  for (const value of names.dns) given.push(nameOf('dns', 'dns', value));
  for (const value of names.ip) given.push(nameOf('ip', 'ip', value));
  for (const text of names.devices ?? []) given.push({ kind: 'device', value: text, text });
  return given;
}

function nameOf(kind: GivenName['kind'], prefix: string, value: string): GivenName {
  return { kind, value, text: `${prefix}:${value}` };
}

function devicePattern(written: string): NamePatternResult {
  // As names are written: hexadecimal digits of a module's serial in lower case.
  const glob = written.startsWith('hardware-module:') ? written.toLowerCase() : written;
  const matches = ({ kind, value }: GivenName) => kind === 'device' && globMatches(glob, value);
  return { ok: true, pattern: { written, matches } };
}

function dnsPattern(text: string, written: string): NamePatternResult {
  const read = parseDnsPattern(text);
  if (!read.ok) return read;
  const { pattern } = read;
  const matches = ({ kind, value }: GivenName) =>
    kind === 'dns' && matchesDnsPattern(pattern, value);
  return { ok: true, pattern: { written, matches } };
}

function addressPattern(text: string, written: string): NamePatternResult {
  const address = parseIpAddress(text);
  if (address !== undefined) {
    const one = formatIpAddress(address);
    const matches = ({ kind, value }: GivenName) => kind === 'ip' && value === one;
    return { ok: true, pattern: { written, matches } };
  }
  const network = parseIpNetwork(text);
  if (network === undefined) {
    return { ok: false, wrong: 'is no IP address, and no network such as 10.0.0.0/8' };
  }
  const half = network.byteLength / 2;
  const [base, mask] = [network.subarray(0, half), network.subarray(half)];
  const matches = ({ kind, value }: GivenName) => {
    const bytes = kind === 'ip' ? parseIpAddress(value) : undefined;
    return (
      bytes?.byteLength === half &&
      bytes.every((octet, i) => (octet & (mask[i] ?? 0)) === (base[i] ?? 0))
    );
  };
  return { ok: true, pattern: { written, matches } };
}

function spiffePattern(uri: string, written: string, trustDomain: string): NamePatternResult {
  const [, , domain = '', ...segments] = uri.split('/');
  const wrong = wrongWithSpiffe(uri, domain, segments, trustDomain);
  if (wrong !== undefined) return { ok: false, wrong };
  const open = segments.at(-1) === '**';
  const fixed = open ? segments.slice(0, -1) : segments;
  const start = `spiffe://${domain}/`;
  const matches = ({ kind, value }: GivenName) => {
    if (kind !== 'spiffe' || !value.startsWith(start)) return false;
    const own = value.slice(start.length).split('/');
    if (open ? own.length <= fixed.length : own.length !== fixed.length) return false;
    return fixed.every((segment, i) => segment === '*' || segment === own[i]);
  };
  return { ok: true, pattern: { written, matches } };
}

function wrongWithSpiffe(
  uri: string,
  domain: string,
  segments: readonly string[],
  trustDomain: string,
): string | undefined {
  const late = segments.indexOf('**');
  if (late !== -1 && late < segments.length - 1) return 'has "**" before its last segment';
  const mixed = segments.find((each) => each.includes('*') && each !== '*' && each !== '**');
  if (mixed !== undefined) return `has "${mixed}", "*" stands for a whole segment`;
  if (domain.includes('*')) return 'has "*" in its trust domain';
  try {
    const id = parseSpiffeId(uri.replaceAll('**', '*').replaceAll('*', 'x'));
    if (id.path === '') return 'has no path, so it stands for no workload';
    if (id.trustDomain === trustDomain) return undefined;
    return `is of trust domain "${id.trustDomain}", this authority's is "${trustDomain}"`;
  } catch (thrown) {
    return `is no SPIFFE ID with wildcards: ${messageOf(thrown)}`;
  }
}
