import { type ErrorCode, formatDuration, messageOf } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { parseSpiffeId, parseTrustDomain } from '@countersign/spiffe';
import { formatIpAddress, type KeyKind, parseIpAddress } from '@countersign/x509';
import type {
  ApiConfig,
  AuthorityCertificateConfig,
  CaConfig,
  IntermediateConfig,
  SubjectConfig,
} from './ca-config.ts';
import type { WrittenAuthority, WrittenCaConfig } from './ca-config-schema.ts';
import {
  constraintAgainst,
  constraintsLeave,
  type DnsConstraints,
  isWithin,
  parseDnsConstraint,
  parseDnsName,
  quotedList,
} from './dns-name.ts';
import { keyKindFromConfig } from './key-kind-config.ts';
import { interpretLedger } from './ledger/ledger-config.ts';
import { asksProvisioner, interpretPolicy } from './policy/policy-config.ts';
import { defaultProfile, interpretProfiles } from './profile/profile-config.ts';
import { interpretPublish } from './publish/publish-config.ts';
import { interpretRequests } from './requests/requests-config.ts';
import { interpretServices } from './service-config.ts';
import { readStorages, type StorageReader } from './storages-of-config.ts';

/** What is wrong at a place of the file; `which` chooses the key or its value (default). */
export interface Finding {
  readonly path: ConfigPath;
  readonly which?: 'key' | 'value';
  readonly code: ErrorCode;
  readonly message: string;
}

/** Collects findings, so that one reading of the file names them all. */
export type Report = (
  path: ConfigPath,
  message: string,
  options?: { readonly code?: ErrorCode; readonly which?: 'key' | 'value' },
) => void;

const day = 24 * 3_600_000;
const defaultValidity = { root: 3650 * day, intermediate: 365 * day } as const;
const shortestAuthorityMs = 60_000;

const ec384: KeyKind = { type: 'EC', curve: 'P-384' };
const ec256: KeyKind = { type: 'EC', curve: 'P-256' };

/**
 * The meaning of a file that is of the right shape: defaults filled in, and every check across keys. With a finding
 * the config is not to be used.
 */
export function interpretCaConfig(
  written: WrittenCaConfig,
  file: string,
): { readonly config: CaConfig; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const notices: string[] = [];
  const report: Report = (path, message, { code = 'ERR_CONFIG_VALUE', which } = {}) => {
    findings.push({ path, code, message, ...(which === undefined ? {} : { which }) });
  };

  const ca = written.ca ?? {};
  const underCa = ca.service_certificates ?? undefined;
  const atTop = written.service_certificates ?? undefined;
  if (underCa !== undefined && atTop !== undefined) {
    const other = 'service_certificates stands at the top level and under "ca", one is expected';
    report(['ca', 'service_certificates'], other, { which: 'key' });
  }
  const servicesPath =
    underCa === undefined ? ['service_certificates'] : ['ca', 'service_certificates'];
  const writtenServices = atTop ?? underCa ?? {};

  const trustDomain = readTrustDomain(
    writtenServices.san_policies?.spiffe_trust_domain,
    servicesPath,
    report,
  );
  const storages = readStorages(written, { report, notices });
  const intermediates = readIntermediates(ca.intermediate ?? {}, trustDomain, storages.of, report);
  const root = readRoot(ca.root ?? {}, trustDomain, intermediates, storages.of, report);
  storages.tellUnused();
  const bounded = boundByRoot(intermediates, ca.intermediate ?? {}, root, report);
  const tell = { report, notices };
  const services = interpretServices(writtenServices, servicesPath, bounded, tell);
  const longestIssuerMs = Math.max(...bounded.map((each) => each.validityMs));
  const profileContext = { services, trustDomain, longestIssuerMs, report };
  const profiles = interpretProfiles(written.profiles ?? {}, profileContext);
  const rules = interpretPolicy(written.policy ?? undefined, trustDomain, report);
  const config: CaConfig = {
    file,
    trustDomain,
    root,
    intermediates: bounded,
    services,
    defaultProfile: defaultProfile(services),
    profiles,
    rules,
    asksProvisioner: asksProvisioner(rules, profiles),
    requests: interpretRequests(written.requests ?? undefined, report),
    api: readApi(written.api ?? {}, trustDomain, bounded, report),
    publish: interpretPublish(written.publish, report),
    seal: storages.seal,
    ledger: interpretLedger(written.ledger ?? undefined, { report, notices }),
    notices,
  };
  const patternsPath = [...servicesPath, 'san_policies', 'allowed_dns_patterns'];
  checkPatterns(config, patternsPath, report);
  return { config, findings };
}

function readTrustDomain(text: string | undefined, path: ConfigPath, report: Report): string {
  const at = [...path, 'san_policies', 'spiffe_trust_domain'];
  if (text === undefined) {
    const example = 'the trust domain that every identity belongs to, such as example.com';
    report(at, `${at.join('.')}: missing, expected ${example}`);
    return 'missing';
  }
  try {
    return parseTrustDomain(text);
  } catch (thrown) {
    report(at, `${at.join('.')}: ${messageOf(thrown)}`);
    return 'missing';
  }
}

function readIntermediates(
  written: Readonly<Record<string, WrittenAuthority | null>>,
  trustDomain: string,
  storageOf: StorageReader,
  report: Report,
): IntermediateConfig[] {
  const entries = Object.entries(written);
  const chosen: [string, WrittenAuthority | null][] =
    entries.length === 0 ? [['services', null]] : entries;
  return chosen.map(([name, value]) => {
    const path = ['ca', 'intermediate', name];
    // It names files, and JavaScript would move keys that look like numbers to the front.
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(name)) {
      const form = 'letters, digits, "-" and "_" after a letter, 40 at most';
      report(path, `intermediate name "${name}" is not made of ${form}`, { which: 'key' });
    }
    const own = value ?? {};
    return {
      name,
      ...readAuthority(own, path, report, {
        key: ec256,
        validityMs: defaultValidity.intermediate,
        pathLen: 0,
        commonName: commonNameFor(trustDomain, name),
        storage: storageOf(own, path),
      }),
      constraints: readConstraints(own.nameConstraints ?? {}, [...path, 'nameConstraints'], report),
    };
  });
}

function readRoot(
  written: WrittenAuthority,
  trustDomain: string,
  intermediates: readonly IntermediateConfig[],
  storageOf: StorageReader,
  report: Report,
): AuthorityCertificateConfig {
  const path = ['ca', 'root'];
  const deepest = Math.max(...intermediates.map((each) => each.pathLen));
  const root = readAuthority(written, path, report, {
    key: ec384,
    validityMs: defaultValidity.root,
    pathLen: deepest + 1,
    commonName: commonNameFor(trustDomain, 'root'),
    storage: storageOf(written, path),
  });
  // RFC 5280 §4.2.1.9: the number of intermediates that may follow; each of ours follows, then those it allows itself.
  const tooDeep = intermediates.find((each) => each.pathLen + 1 > root.pathLen);
  if (tooDeep !== undefined) {
    const need = `intermediate "${tooDeep.name}" with ${tooDeep.pathLen} below it needs at least ${tooDeep.pathLen + 1}`;
    report(
      [...path, 'pathLenConstraint'],
      `ca.root.pathLenConstraint: ${need}, found ${root.pathLen}`,
    );
  }
  return root;
}

/** Where the file gives no validity, the root's own is the bound; where it does, more than the root's is an error. */
function boundByRoot(
  intermediates: readonly IntermediateConfig[],
  written: Readonly<Record<string, WrittenAuthority | null>>,
  root: AuthorityCertificateConfig,
  report: Report,
): IntermediateConfig[] {
  return intermediates.map((each) => {
    if (each.validityMs <= root.validityMs) return each;
    if (written[each.name]?.validity === undefined) return { ...each, validityMs: root.validityMs };
    const path = ['ca', 'intermediate', each.name, 'validity'];
    const sides = `${formatDuration(each.validityMs)} is longer than the root's ${formatDuration(root.validityMs)}`;
    report(path, `${path.join('.')}: ${sides}`);
    return each;
  });
}

function readAuthority(
  written: WrittenAuthority,
  path: ConfigPath,
  report: Report,
  defaults: Omit<AuthorityCertificateConfig, 'subject'> & { readonly commonName: string },
): AuthorityCertificateConfig {
  const key = keyKindFromConfig(written, defaults.key);
  if ('finding' in key) {
    const at = [...path, key.finding.key];
    report(at, `${at.join('.')}: ${key.finding.message}`, { code: key.finding.code });
  }
  const validityMs = written.validity ?? defaults.validityMs;
  if (validityMs < shortestAuthorityMs) {
    const at = [...path, 'validity'];
    report(at, `${at.join('.')}: expected at least 1m, found ${formatDuration(validityMs)}`);
  }
  if (written.commonName !== undefined && written.subject?.commonName !== undefined) {
    report([...path, 'commonName'], `${path.join('.')} has commonName twice`, { which: 'key' });
  }
  const subject: SubjectConfig = {
    ...written.subject,
    country: written.subject?.country?.toUpperCase(),
    commonName: written.commonName ?? written.subject?.commonName ?? defaults.commonName,
  };
  return {
    subject,
    key: 'kind' in key ? key.kind : defaults.key,
    validityMs,
    pathLen: written.pathLenConstraint ?? defaults.pathLen,
    storage: defaults.storage,
  };
}

function readConstraints(
  written: NonNullable<WrittenAuthority['nameConstraints']>,
  path: ConfigPath,
  report: Report,
): DnsConstraints {
  const read = (side: 'permitted' | 'excluded'): string[] =>
    (written[side] ?? []).flatMap((text, index) => {
      const domain = parseDnsConstraint(text);
      if (domain.ok) return [domain.name];
      const at = [...path, side, index];
      // Other kinds than DNS are known to the field: say so, rather than that the DNS name is odd.
      const other = /[:/@]|^[\d.]+$/.test(text);
      const what = `${at.join('.')}: "${text}" ${other ? 'is no DNS name, and other constraints are not supported yet' : domain.wrong}`;
      report(at, what, { code: other ? 'ERR_CONFIG_UNSUPPORTED' : 'ERR_CONFIG_VALUE' });
      return [];
    });
  const constraints = { permitted: read('permitted'), excluded: read('excluded') };
  for (const [index, domain] of constraints.permitted.entries()) {
    const outer = constraints.excluded.find((excluded) => isWithin(domain, excluded));
    if (outer === undefined) continue;
    const at = [...path, 'permitted', index];
    report(at, `${at.join('.')}: "${domain}" is excluded again by "${outer}"`);
  }
  return constraints;
}

/** A pattern that no intermediate's constraints leave a name for is a contradiction. */
function checkPatterns(config: CaConfig, path: ConfigPath, report: Report): void {
  for (const [index, pattern] of (config.services.dnsPatterns ?? []).entries()) {
    const left = config.intermediates.some((each) => constraintsLeave(each.constraints, pattern));
    if (left) continue;
    const at = [...path, index];
    const sides = config.intermediates
      .map(({ name, constraints }) => {
        const permitted =
          constraints.permitted.length > 0 ? ` permits ${quotedList(constraints.permitted)}` : '';
        const excluded =
          constraints.excluded.length > 0 ? ` excludes ${quotedList(constraints.excluded)}` : '';
        return `"${name}"${permitted}${excluded}`;
      })
      .join('; ');
    report(at, `${at.join('.')}: no intermediate admits a name of "${pattern.written}": ${sides}`);
  }
}

function readApi(
  written: NonNullable<WrittenCaConfig['api']>,
  trustDomain: string,
  intermediates: readonly IntermediateConfig[],
  report: Report,
): ApiConfig {
  const port = written.port ?? 8440;
  if (port > 65_535) report(['api', 'port'], `api.port: expected at most 65535, found ${port}`);
  const address = written.address ?? '127.0.0.1';
  if (parseIpAddress(address) === undefined) {
    report(
      ['api', 'address'],
      `api.address: expected an IP address to listen on, found "${address}"`,
    );
  }
  const dns: string[] = [];
  const ip: string[] = [];
  for (const [index, text] of (written.names ?? []).entries()) {
    const bytes = parseIpAddress(text);
    const name = parseDnsName(text);
    const path = ['api', 'names', index];
    if (bytes !== undefined) ip.push(formatIpAddress(bytes));
    else if (name.ok) dns.push(name.name);
    else report(path, `${path.join('.')}: "${text}" ${name.wrong}`);
  }
  checkOwnNames(dns, intermediates, report);
  return {
    admins: (written.admins ?? []).flatMap((text, index) =>
      readApiId(text, ['api', 'admins', index], trustDomain, report),
    ),
    gateways: (written.gateways ?? ['*']).flatMap((text, index) =>
      readGatewayPattern(text, ['api', 'gateways', index], trustDomain, report),
    ),
    address,
    port,
    dns,
    ip,
  };
}

function checkOwnNames(
  dns: readonly string[],
  intermediates: readonly IntermediateConfig[],
  report: Report,
): void {
  const admitting = intermediates.some((each) =>
    dns.every((name) => constraintAgainst(each.constraints, name) === undefined),
  );
  if (admitting) return;
  const names = `no intermediate admits all of ${quotedList(dns)}`;
  report(
    ['api', 'names'],
    `api.names: ${names}, which the authority's own certificate would carry`,
  );
}

function readApiId(text: string, path: ConfigPath, trustDomain: string, report: Report): string[] {
  try {
    const id = parseSpiffeId(text);
    if (id.trustDomain === trustDomain) return [id.toString()];
    const sides = `"${text}" is of trust domain "${id.trustDomain}", this authority's is "${trustDomain}"`;
    report(path, `${path.join('.')}: ${sides}`);
  } catch (thrown) {
    report(path, `${path.join('.')}: ${messageOf(thrown)}`);
  }
  return [];
}

function readGatewayPattern(
  text: string,
  path: ConfigPath,
  trustDomain: string,
  report: Report,
): string[] {
  if (text === '*') return [text];
  if (!text.includes('*')) return readApiId(text, path, trustDomain, report);
  const start = `spiffe://${trustDomain}/`;
  if (/^[^*]*\*$/.test(text) && text.startsWith(start)) return [text];
  report(path, `${path.join('.')}: expected a SPIFFE ID, "*", or "${start}…*", found "${text}"`);
  return [];
}

/** At most 64 characters (RFC 5280, ub-common-name): of a longer trust domain its beginning. */
function commonNameFor(trustDomain: string, role: string): string {
  return `${trustDomain.slice(0, 63 - role.length)} ${role}`;
}
