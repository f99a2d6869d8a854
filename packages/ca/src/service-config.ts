import { formatDuration, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import type { KeyKind, KeyUsage } from '@countersign/x509';
import type { IntermediateConfig, ServiceConfig } from './ca-config.ts';
import type { Report } from './ca-config-checks.ts';
import type { WrittenServices } from './ca-config-schema.ts';
import { type DnsPattern, parseDnsPattern } from './dns-name.ts';
import { keyKindFromConfig } from './key-kind-config.ts';
import { isServiceKeyType, usagesFor } from './key-usage-by-kind.ts';

const hour = 3_600_000;
const ec256: KeyKind = { type: 'EC', curve: 'P-256' };
const shortestMs = 1000;

/** Usages of a key that a service may have, and why not where it may not. */
const leafUsages: Readonly<Record<KeyUsage, string | undefined>> = {
  digitalSignature: undefined,
  nonRepudiation: undefined,
  keyEncipherment: undefined,
  dataEncipherment: undefined,
  keyAgreement: undefined,
  keyCertSign: 'is for certificate authorities',
  cRLSign: 'is for certificate authorities',
  encipherOnly: 'is not supported yet',
  decipherOnly: 'is not supported yet',
};

const extendedUsages = [
  'serverAuth',
  'clientAuth',
  'codeSigning',
  'emailProtection',
  'timeStamping',
  'OCSPSigning',
] as const;

/** The meaning of `service_certificates`, reported finding by finding. */
export function interpretServices(
  written: WrittenServices,
  path: ConfigPath,
  intermediates: readonly IntermediateConfig[],
  { report, notices }: { readonly report: Report; readonly notices: string[] },
): ServiceConfig {
  const key = keyKindFromConfig(written, ec256);
  if ('finding' in key) {
    const at = [...path, key.finding.key];
    report(at, `${at.join('.')}: ${key.finding.message}`, { code: key.finding.code });
  }
  const kind = 'kind' in key ? key.kind : ec256;
  const usages = readUsages(
    written.required_extensions ?? [],
    [...path, 'required_extensions'],
    report,
  );
  const left = usages.keyUsageWritten ?? [];
  const kept = isServiceKeyType(kind.type) ? usagesFor(kind.type, left) : left;
  for (const usage of left.filter((each) => !kept.includes(each))) {
    // RFC 8813 §3 for the common one, keyEncipherment with EC keys.
    notices.push(
      `${usage} is left out of certificates for ${kind.type} keys, which cannot do that (RFC 8813)`,
    );
  }
  const policies = written.san_policies ?? {};
  return {
    key: kind,
    keyRequired:
      written.algorithm !== undefined ||
      written.curve !== undefined ||
      written.keySize !== undefined,
    ...readLifetimes(written, path, intermediates, report),
    keyUsage: usages.keyUsageWritten ?? ['digitalSignature'],
    extKeyUsage: usages.extKeyUsage ?? ['serverAuth', 'clientAuth'],
    requireSpiffe: policies.require_spiffe ?? true,
    dnsPatterns: readPatterns(
      policies.allowed_dns_patterns,
      [...path, 'san_policies', 'allowed_dns_patterns'],
      report,
    ),
    allowIp: policies.allow_ip_san ?? false,
    allowWildcards: policies.allow_wildcards ?? false,
  };
}

function readLifetimes(
  written: WrittenServices,
  path: ConfigPath,
  intermediates: readonly IntermediateConfig[],
  report: Report,
): { readonly validityMs: number; readonly maxValidityMs: number } {
  const longestIssuer = Math.max(...intermediates.map((each) => each.validityMs));
  const { validity, max_validity: max } = written;
  const maxValidityMs = max ?? Math.max(validity ?? 0, Math.min(72 * hour, longestIssuer));
  const validityMs = validity ?? Math.min(24 * hour, maxValidityMs);
  const say = (key: string, sides: string) =>
    report([...path, key], `${[...path, key].join('.')}: ${sides}`);
  if (validityMs < shortestMs)
    say('validity', `expected at least 1s, found ${formatDuration(validityMs)}`);
  if (maxValidityMs < validityMs) {
    say(
      'max_validity',
      `${formatDuration(maxValidityMs)} is shorter than the validity of ${formatDuration(validityMs)}`,
    );
  } else if (maxValidityMs > longestIssuer) {
    const sides = `${formatDuration(maxValidityMs)} is longer than any intermediate's validity, at most ${formatDuration(longestIssuer)}`;
    say(max === undefined ? 'validity' : 'max_validity', sides);
  }
  return { validityMs, maxValidityMs };
}

function readUsages(
  written: NonNullable<WrittenServices['required_extensions']>,
  path: ConfigPath,
  report: Report,
): {
  readonly keyUsageWritten: readonly KeyUsage[] | undefined;
  readonly extKeyUsage: readonly string[] | undefined;
} {
  let keyUsageWritten: KeyUsage[] | undefined;
  let extKeyUsage: string[] | undefined;
  for (const [index, item] of written.entries()) {
    const at = [...path, index];
    const keys = Object.keys(item);
    if (keys.length !== 1) {
      report(at, `${at.join('.')}: expected a map of one key, found ${keys.length}`);
    }
    if (item.keyUsage !== undefined) {
      if (keyUsageWritten !== undefined) report(at, `${at.join('.')}: keyUsage is written twice`);
      keyUsageWritten = readKeyUsage(item.keyUsage, [...at, 'keyUsage'], report);
    }
    const extended = item.extKeyUsage ?? item.extendedKeyUsage;
    if (extended !== undefined) {
      if (extKeyUsage !== undefined) report(at, `${at.join('.')}: extKeyUsage is written twice`);
      const key = item.extKeyUsage === undefined ? 'extendedKeyUsage' : 'extKeyUsage';
      extKeyUsage = readExtKeyUsage(extended, [...at, key], report);
    }
  }
  return { keyUsageWritten, extKeyUsage };
}

export function readKeyUsage(
  texts: readonly string[],
  path: ConfigPath,
  report: Report,
): KeyUsage[] {
  const names = Object.keys(leafUsages) as KeyUsage[];
  const found = texts.flatMap((text, index) => {
    const usage = names.find((name) => name.toLowerCase() === text.toLowerCase());
    const at = [...path, index];
    if (usage === undefined) {
      report(at, `${at.join('.')}: ${unknownUsage('key usage', text, names)}`);
      return [];
    }
    const refused = leafUsages[usage];
    if (refused !== undefined) {
      const code = refused.endsWith('yet') ? 'ERR_CONFIG_UNSUPPORTED' : 'ERR_CONFIG_VALUE';
      report(at, `${at.join('.')}: ${usage} ${refused}`, { code });
    }
    return [usage];
  });
  // X509-SVID §4.3: leaf certificates MUST set digitalSignature.
  if (!found.includes('digitalSignature')) {
    report(path, `${path.join('.')}: digitalSignature is missing, TLS keys sign`);
  }
  return [...new Set(found)];
}

export function readExtKeyUsage(
  texts: readonly string[],
  path: ConfigPath,
  report: Report,
): string[] {
  const found = texts.flatMap((text, index) => {
    const usage = extendedUsages.find((name) => name.toLowerCase() === text.toLowerCase());
    if (usage !== undefined) return [usage];
    if (/^[0-2](\.(0|[1-9]\d*)){2,}$/.test(text)) return [text];
    const at = [...path, index];
    report(at, `${at.join('.')}: ${unknownUsage('extended key usage', text, extendedUsages)}`);
    return [];
  });
  return [...new Set(found)];
}

function unknownUsage(kind: string, text: string, names: readonly string[]): string {
  const nearest = nearestWord(text, names);
  const then =
    nearest === undefined ? `expected ${names.join(', ')}` : `the nearest is "${nearest}"`;
  return `unknown ${kind} "${text}", ${then}`;
}

function readPatterns(
  texts: readonly string[] | null | undefined,
  path: ConfigPath,
  report: Report,
): DnsPattern[] | undefined {
  return texts?.flatMap((text, index) => {
    const read = parseDnsPattern(text);
    if (read.ok) return [read.pattern];
    const at = [...path, index];
    report(at, `${at.join('.')}: pattern "${text}" ${read.wrong}`);
    return [];
  });
}
