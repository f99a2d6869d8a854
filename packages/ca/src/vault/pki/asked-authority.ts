import type { KeyKind, SubjectPublicKeyInfo } from '@countersign/x509';
import type { AuthorityCertificateConfig, SubjectConfig } from '../../ca-config.ts';
import type { AuthorityDraftFacts } from '../../draft.ts';
import type { VaultContext } from '../vault-context.ts';
import { get, type Values } from '../vault-fields.ts';
import { badRequest, type VaultRefusal } from '../vault-refusal.ts';
import { type Format, formats } from './certificate-answer.ts';
import { timeOf, wrongTime } from './role-fields.ts';

const day = 86_400_000;
/** What an authority lasts where nobody says. */
const usualMs = { root: 3650 * day, intermediate: 1825 * day };
/** The longest that a made authority lasts. */
const longestMs = 36_525 * day;
/** As of the hierarchy: before any certificate that it signs can begin. */
const skewMs = 5 * 60_000;
/** Authorities below a root. */
export const rootPathLength = 3;

/** What a certificate of an authority is to say, where it can be had. */
export interface AskedAuthority {
  readonly ok: true;
  readonly subject: SubjectConfig;
  readonly kind: KeyKind;
  readonly lifetimeMs: number;
  readonly format: Format;
}

export function askedAuthority(
  { clock }: VaultContext,
  values: Values,
  what: 'root' | 'intermediate',
): AskedAuthority | VaultRefusal {
  const format = formats.find((each) => each === get.text(values, 'format'));
  if (format === undefined)
    return badRequest('the "format" path parameter must be "pem", "der", or "pem_bundle"');
  const commonName = get.text(values, 'common_name');
  if (commonName === '') return badRequest('the common_name field is required');
  if (commonName.length > 64)
    return badRequest(`"common_name" has ${commonName.length} characters, at most 64 fit`);
  for (const name of ['organization', 'ou', 'country']) {
    const given = get.list(values, name);
    if (given.length > 1)
      return badRequest(`"${name}" has ${given.length} values, a subject has one`);
    if (given.some((each) => each.length > 64))
      return badRequest(`"${name}" has more than 64 characters`);
  }
  const [country] = get.list(values, 'country');
  if (country !== undefined && !/^[A-Za-z]{2}$/.test(country))
    return badRequest(`"country" is two letters, found "${country.slice(0, 20)}"`);
  const kind = kindOf(get.text(values, 'key_type') || 'rsa', get.number(values, 'key_bits'));
  if (kind === undefined)
    return badRequest(
      `unknown key type ${get.text(values, 'key_type').slice(0, 40)}, or of no such size`,
    );
  const lifetimeMs = lifetimeIn(values, usualMs[what], clock.now());
  if (typeof lifetimeMs !== 'number') return lifetimeMs;
  const subject: SubjectConfig = {
    country: country?.toUpperCase(),
    organization: get.list(values, 'organization')[0],
    organizationalUnit: get.list(values, 'ou')[0],
    commonName,
  };
  return { ok: true, subject, kind, lifetimeMs, format };
}

function lifetimeIn(values: Values, usual: number, now: number): number | VaultRefusal {
  const ttlMs = 1000 * get.number(values, 'ttl');
  const end = get.text(values, 'not_after');
  if (end !== '' && ttlMs > 0) {
    return badRequest(
      'Either ttl or not_after should be provided. Both should not be provided in the same request.',
    );
  }
  const at = end === '' ? undefined : timeOf(end);
  if (end !== '' && at === undefined) return badRequest(wrongTime(end));
  const lifetimeMs = at === undefined ? ttlMs || usual : at - now;
  if (lifetimeMs < 60_000 || lifetimeMs > longestMs)
    return badRequest('an authority lasts from a minute to a hundred years');
  return lifetimeMs;
}

function kindOf(type: string, bits: number): KeyKind | undefined {
  const kinds: Readonly<Record<string, Readonly<Record<number, KeyKind>>>> = {
    rsa: {
      0: { type: 'RSA', bits: 2048 },
      2048: { type: 'RSA', bits: 2048 },
      3072: { type: 'RSA', bits: 3072 },
      4096: { type: 'RSA', bits: 4096 },
    },
    ec: {
      0: { type: 'EC', curve: 'P-256' },
      256: { type: 'EC', curve: 'P-256' },
      384: { type: 'EC', curve: 'P-384' },
      521: { type: 'EC', curve: 'P-521' },
    },
    ed25519: { 0: { type: 'Ed25519' } },
  };
  return kinds[type]?.[bits];
}

export function authorityConfig(
  { subject, kind, lifetimeMs }: AskedAuthority,
  pathLen: number,
): AuthorityCertificateConfig {
  return { subject, key: kind, validityMs: lifetimeMs, pathLen, storage: { type: 'file' } };
}

export function factsOf(
  { authority, clock }: VaultContext,
  spki: SubjectPublicKeyInfo,
  lifetimeMs: number,
): AuthorityDraftFacts {
  const now = Math.floor(clock.now() / 1000) * 1000;
  const { trustDomain } = authority.config;
  return { trustDomain, spki, notBefore: now - skewMs, notAfter: now + lifetimeMs };
}
