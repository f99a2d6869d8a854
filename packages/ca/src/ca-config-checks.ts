import { type ErrorCode, formatDuration, messageOf, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { parseSpiffeId, parseTrustDomain } from '@countersign/spiffe';
import { formatIpAddress, type NameConstraints, parseIpAddress } from '@countersign/x509';
import { interpretAcme } from './acme/interpret-acme.ts';
import type { ApiConfig, CaConfig, IntermediateConfig } from './ca-config.ts';
import type { WrittenCaConfig } from './ca-config-schema.ts';
import { dnsOf, linksAgainst } from './constraints/name-constraints.ts';
import { constraintsLeave, type DnsConstraints, parseDnsName, quotedList } from './dns-name.ts';
import { interpretEst } from './est/interpret-est.ts';
import { assertsPolicies, interpretHierarchy, linksOf } from './hierarchy-config.ts';
import { interpretJwt } from './jwt/jwt-config.ts';
import { interpretLedger } from './ledger/ledger-config.ts';
import { checkRetention } from './ledger/retention/retention-config.ts';
import { asksProvisioner, interpretPolicy } from './policy/policy-config.ts';
import { defaultProfileName } from './profile/certificate-profile.ts';
import { defaultProfile, interpretProfiles } from './profile/profile-config.ts';
import { unrenewableNotices } from './profile/renews-over-mtls.ts';
import { interpretProvisioners } from './provisioners/interpret-provisioners.ts';
import { interpretPublish } from './publish/publish-config.ts';
import { interpretRequests } from './requests/requests-config.ts';
import { interpretServices } from './service-config.ts';
import { readStorages } from './storages-of-config.ts';
import { interpretVault } from './vault/interpret-vault.ts';

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
  const { root, intermediates } = interpretHierarchy(ca, {
    trustDomain,
    storageOf: storages.of,
    report,
  });
  storages.tellUnused();
  const signing = intermediates.filter((each) => each.signsServices);
  const tell = { report, notices };
  const services = interpretServices(writtenServices, servicesPath, signing, tell);
  const longestIssuerMs = Math.max(...signing.map((each) => each.validityMs));
  const profileContext = { services, trustDomain, longestIssuerMs, report };
  const profiles = interpretProfiles(written.profiles ?? {}, profileContext);
  notices.push(...unrenewableNotices([defaultProfile(services), ...profiles]));
  const rules = interpretPolicy(written.policy ?? undefined, trustDomain, report);
  const doorSurroundings = {
    ...{ report, trustDomain },
    intermediates: signing.map(({ name }) => name),
    profiles: profiles.map(({ name }) => name),
  };
  const config: CaConfig = {
    file,
    trustDomain,
    root,
    issuedBy: ca.issued_by,
    intermediates,
    services,
    defaultProfile: defaultProfile(services),
    profiles,
    rules,
    asksProvisioner: asksProvisioner(rules, profiles),
    requests: interpretRequests(written.requests ?? undefined, report),
    api: readApi(written.api ?? {}, trustDomain, intermediates, tell),
    publish: interpretPublish(written.publish, report),
    jwt: interpretJwt(written.jwt ?? undefined, report),
    acme: interpretAcme(written.acme, {
      ...tell,
      trustDomain,
      profiles: profiles.map(({ name }) => name),
    }),
    vault: interpretVault(written.vault, {
      ...tell,
      intermediates: signing.map(({ name }) => name),
    }),
    est: interpretEst(written.est, doorSurroundings),
    provisioners: interpretProvisioners(written.provisioners, { ...doorSurroundings, notices }),
    stepPaths: 'step' in written,
    seal: storages.seal,
    ledger: interpretLedger(written.ledger ?? undefined, { report, notices }),
    notices,
  };
  if (root.signsServices === true && config.publish !== undefined) {
    const sides = 'ca.root.signs_services goes without publish: lists are by intermediates';
    report(['ca', 'root', 'signs_services'], sides);
  }
  const patternsPath = [...servicesPath, 'san_policies', 'allowed_dns_patterns'];
  checkPatterns(config, patternsPath, report);
  checkProfiles(config, report);
  checkRetention(config, report);
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

/** A pattern that no intermediate's constraints leave a name for is a contradiction. */
function checkPatterns(config: CaConfig, path: ConfigPath, report: Report): void {
  const signing = config.intermediates
    .filter((each) => each.signsServices)
    .map(({ name }) => ({ name, links: linksOf(name, config.intermediates) }));
  for (const [index, pattern] of (config.services.dnsPatterns ?? []).entries()) {
    const left = signing.some(({ links }) =>
      links.every((link) => constraintsLeave(dnsConstraints(link), pattern)),
    );
    if (left) continue;
    const at = [...path, index];
    const sides = signing.map(({ name, links }) => `"${name}"${links.map(dnsSides).join('')}`);
    const written = pattern.written;
    report(
      at,
      `${at.join('.')}: no intermediate admits a name of "${written}": ${sides.join('; ')}`,
    );
  }
}

function dnsConstraints(link: NameConstraints): DnsConstraints {
  return { permitted: dnsOf(link, 'permitted'), excluded: dnsOf(link, 'excluded') };
}

function dnsSides(link: NameConstraints): string {
  const { permitted, excluded } = dnsConstraints(link);
  const permits = permitted.length > 0 ? ` permits ${quotedList(permitted)}` : '';
  return `${permits}${excluded.length > 0 ? ` excludes ${quotedList(excluded)}` : ''}`;
}

/** Profiles that intermediates name, and policies that none of these asserts. */
function checkProfiles({ intermediates, profiles }: CaConfig, report: Report): void {
  for (const { name, profile, policies, signsServices } of intermediates) {
    if (profile === undefined || !signsServices) continue;
    const at = ['ca', 'intermediate', name, 'profile'];
    const found = profiles.find((each) => each.name === profile);
    if (found === undefined && profile !== defaultProfileName) {
      const known = [...profiles.map((each) => each.name), defaultProfileName];
      const nearest = nearestWord(profile, known);
      const then =
        nearest === undefined ? `there is ${quotedList(known)}` : `the nearest is "${nearest}"`;
      report(at, `${at.join('.')}: no profile is called "${profile}", ${then}`);
    } else if (found !== undefined && !assertsPolicies(policies, found.policies)) {
      const lacking = found.policies.filter((each) => !policies.includes(each));
      report(at, `${at.join('.')}: it asserts ${quotedList(lacking)}, "${name}" does not`);
    }
  }
  for (const { name, policies } of profiles) {
    const able = intermediates.some(
      (each) => each.signsServices && assertsPolicies(each.policies, policies),
    );
    if (able) continue;
    const at = ['profiles', name, 'policies'];
    report(at, `${at.join('.')}: no intermediate asserts ${quotedList(policies)} (its "policies")`);
  }
}

function readApi(
  written: NonNullable<WrittenCaConfig['api']>,
  trustDomain: string,
  intermediates: readonly IntermediateConfig[],
  { report, notices }: { readonly report: Report; readonly notices: string[] },
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
  if ((address === '0.0.0.0' || address === '::') && dns.length + ip.length === 0) {
    const consequence =
      "the authority's own certificate names the loopback alone, so that no other machine can verify it";
    notices.push(`api.address is "${address}" and api.names is empty: ${consequence}`);
  }
  const { bundleRefresh: bundleRefreshMs = 300_000 } = written;
  if (bundleRefreshMs < 1000 || bundleRefreshMs > 86_400_000) {
    const path = ['api', 'bundleRefresh'];
    report(path, `${path.join('.')}: expected 1s to 24h, found ${formatDuration(bundleRefreshMs)}`);
  }
  const { feedStreams = 16 } = written;
  if (feedStreams < 1 || feedStreams > 4096) {
    const path = ['api', 'feedStreams'];
    report(path, `${path.join('.')}: expected 1 to 4096, found ${feedStreams}`);
  }
  return {
    bundleRefreshMs,
    feedStreams,
    isAnyGateway: written.gateways === undefined || written.gateways === null,
    admins: (written.admins ?? []).flatMap((text, index) =>
      readApiId(text, ['api', 'admins', index], trustDomain, report),
    ),
    registrars: (written.registrars ?? []).flatMap((text, index) =>
      readApiId(text, ['api', 'registrars', index], trustDomain, report),
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
  const admitting = intermediates.some(
    ({ name, signsServices }) =>
      signsServices &&
      dns.every(
        (value) => linksAgainst(linksOf(name, intermediates), { kind: 'dns', value }) === undefined,
      ),
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
