import { isIP } from 'node:net';
import { formatDuration, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { spiffeIdOf } from '@countersign/spiffe';
import { isNetwork } from '@countersign/wire';
import type { Report } from '../ca-config-checks.ts';
import { parseDnsName } from '../dns-name.ts';
import {
  type AcmeConfig,
  type AcmeProfile,
  noTrials,
  type ValidationConfig,
} from './acme-config.ts';
import { usualResources } from './acme-resources.ts';
import type { WrittenAcme } from './acme-schema.ts';

const second = 1000;
const hour = 3_600_000;
const day = 24 * hour;

export interface AcmeSurroundings {
  readonly trustDomain: string;
  /** Names of the authority's profiles. */
  readonly profiles: readonly string[];
  readonly report: Report;
  readonly notices: string[];
}

/** The meaning of `acme`, reported finding by finding; undefined where the file has none: then there is no such door. */
export function interpretAcme(
  written: WrittenAcme | null | undefined,
  around: AcmeSurroundings,
): AcmeConfig | undefined {
  if (written === null || written === undefined) return undefined;
  const { report, notices } = around;
  const path = written.path ?? '/acme';
  if (!/^(?:\/[A-Za-z0-9_-]{1,64}){1,4}$/.test(path) || /^\/v1(\/|$)/.test(path)) {
    const form = 'expected a path such as /acme, apart from /v1';
    report(['acme', 'path'], `acme.path: ${form}, found "${path}"`);
  }
  const external = written.external_accounts ?? [];
  const required = written.external_account_required ?? external.length > 0;
  if (required && external.length === 0) {
    const sides = 'is true, and acme.external_accounts names none: nobody could register';
    report(['acme', 'external_account_required'], `acme.external_account_required: ${sides}`);
  }
  const twice = external.find((each, i) =>
    external.some((other, j) => j < i && other.kid === each.kid),
  );
  if (twice !== undefined) {
    report(['acme', 'external_accounts'], `acme.external_accounts: "${twice.kid}" is there twice`);
  }
  if (!required) {
    notices.push(
      'acme: whoever reaches it may register and order names that it controls (external_account_required: false)',
    );
  }
  const authorizationMs = written.authorization_lifetime ?? 7 * day;
  const orderMs = written.order_lifetime ?? day;
  const within = checkSpan(report);
  within('order_lifetime', orderMs, 10 * second, 30 * day);
  within('authorization_lifetime', authorizationMs, 10 * second, 90 * day);
  const { limits } = written;
  return {
    path,
    directory: '/directory',
    resources: usualResources,
    provisioner: written.provisioner ?? 'acme',
    challenges: written.challenges ?? ['http-01', 'dns-01', 'tls-alpn-01'],
    deviceAttestation: readDeviceAttestation(written.device_attestation, report),
    termsOfService: written.terms_of_service,
    website: written.website,
    externalAccountRequired: required,
    externalAccounts: external.map(({ kid, key_file, provisioner }) => ({
      kid,
      key: { file: key_file },
      provisioner,
    })),
    profiles: Object.entries(written.profiles ?? {}).map(([name, each]) =>
      readProfile(name, each, around),
    ),
    authorizationMs,
    orderMs,
    reusePercent: written.reuse_authorizations === false ? 0 : 100,
    retryAfter: { authorization: 1, order: 1 },
    ordersPerPage: 100,
    blockedDomains: (written.blocked_domains ?? []).map((name, i) =>
      readDomain(name, ['acme', 'blocked_domains', i], report),
    ),
    caaIdentities: written.caa_identities ?? [],
    alternateChains: written.alternate_chains ?? [],
    requestedValidity: written.requested_validity ?? false,
    limits: {
      accountsPerHour: limits?.accounts_per_hour ?? 60,
      ordersPerHour: limits?.orders_per_hour ?? 300,
      identifiers: limits?.identifiers ?? 60,
    },
    validation: readValidation(written.validation ?? {}, report),
    trials: noTrials,
  };
}

function readDeviceAttestation(
  written: WrittenAcme['device_attestation'],
  report: Report,
): AcmeConfig['deviceAttestation'] {
  if (written === null || written === undefined) return undefined;
  const { roots, formats = ['tpm'] } = written;
  for (const [i, format] of formats.entries()) {
    if (format === 'tpm') continue;
    const sides = `format "${format}" is not taken, "tpm" is`;
    const at: ConfigPath = ['acme', 'device_attestation', 'formats', i];
    report(at, `acme.device_attestation.formats: ${sides}`);
  }
  return { roots, formats: ['tpm'] };
}

function readProfile(
  name: string,
  written: NonNullable<NonNullable<WrittenAcme['profiles']>[string]>,
  { trustDomain, profiles, report }: AcmeSurroundings,
): AcmeProfile {
  const at = ['acme', 'profiles', name];
  const { profile, spiffe_id: spiffeId, lifetime } = written;
  if (profile !== undefined && !profiles.includes(profile)) {
    const nearest = nearestWord(profile, profiles);
    const then =
      nearest === undefined ? 'there is none of that name' : `the nearest is "${nearest}"`;
    report(
      [...at, 'profile'],
      `${at.join('.')}.profile: "${profile}" is no profile of "profiles", ${then}`,
    );
  }
  if (spiffeId !== undefined) {
    const sample = spiffeId.replaceAll('{name}', 'name.example');
    const isOurs =
      spiffeIdOf(sample) !== undefined && sample.startsWith(`spiffe://${trustDomain}/`);
    if (!isOurs || /[{}]/.test(sample)) {
      const form = `expected a SPIFFE ID below "spiffe://${trustDomain}/", with {name} for the first name of the order`;
      report([...at, 'spiffe_id'], `${at.join('.')}.spiffe_id: ${form}, found "${spiffeId}"`);
    }
  }
  const description = written.description ?? name;
  const { common_name: commonName = false } = written;
  return { name, description, profile, spiffeId, lifetimeMs: lifetime, commonName };
}

function readValidation(
  written: NonNullable<WrittenAcme['validation']>,
  report: Report,
): ValidationConfig {
  const at: ConfigPath = ['acme', 'validation'];
  const { resolvers, vantages: several, allow } = written;
  if (resolvers && several) {
    report(
      [...at, 'vantages'],
      'acme.validation: "resolvers" is one vantage, "vantages" several; give one of both',
    );
  }
  const vantages = several ?? [resolvers ?? []];
  for (const server of vantages.flat()) {
    if (isResolver(server)) continue;
    const form = 'expected an IP address, with a port where it is not 53, such as 127.0.0.1:8053';
    report(
      [...at, several ? 'vantages' : 'resolvers'],
      `acme.validation: ${form}, found "${server}"`,
    );
  }
  const mayFail = written.may_fail ?? 0;
  if (mayFail >= vantages.length) {
    const sides = `expected fewer than the ${vantages.length} vantages, found ${mayFail}`;
    report([...at, 'may_fail'], `acme.validation.may_fail: ${sides}`);
  }
  for (const [i, network] of (allow ?? []).entries()) {
    if (isNetwork(network)) continue;
    const form = 'expected a network such as 10.0.0.0/8';
    report([...at, 'allow', i], `acme.validation.allow: ${form}, found "${network}"`);
  }
  const timeoutMs = written.timeout ?? 10 * second;
  checkSpan(report, 'validation.')('timeout', timeoutMs, 100, 60 * second);
  return {
    httpPort: written.http_port ?? 80,
    tlsAlpnPort: written.tls_alpn_port ?? 443,
    vantages,
    mayFail,
    allow: allow ?? [],
    isOpen: false,
    timeoutMs,
    retryMs: written.retries ?? [2 * second, 5 * second],
    sleepMs: 0,
    alwaysValid: false,
  };
}

function isResolver(written: string): boolean {
  const match = /^(?:\[(.+)\]|([^[\]:]+))(?::(\d{1,5}))?$/.exec(written);
  if (match === null) return isIP(written) !== 0;
  return isIP(match[1] ?? match[2] ?? '') !== 0 && Number(match[3] ?? 53) < 65_536;
}

function readDomain(written: string, at: ConfigPath, report: Report): string {
  const read = parseDnsName(written);
  if (read.ok) return read.name;
  report(at, `${at.join('.')}: DNS name "${written}" ${read.wrong}`);
  return written;
}

function checkSpan(report: Report, under = '') {
  return function within(key: string, ms: number, least: number, most: number): void {
    if (ms >= least && ms <= most) return;
    const bounds = `${formatDuration(least)} to ${formatDuration(most)}`;
    const path = ['acme', ...`${under}${key}`.split('.')];
    report(path, `${path.join('.')}: expected ${bounds}, found ${formatDuration(ms)}`);
  };
}
