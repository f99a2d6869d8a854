import { formatDuration, fromBase64 } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import {
  der,
  type Extension,
  extension,
  type KeyKind,
  oidName,
  oids,
  readDerTree,
} from '@countersign/x509';
import type { ServiceConfig } from '../ca-config.ts';
import type { Report } from '../ca-config-checks.ts';
import { keyKindFromConfig } from '../key-kind-config.ts';
import { isServiceKeyType } from '../key-usage-by-kind.ts';
import { readPatterns } from '../policy/policy-config.ts';
import { readWho } from '../policy/who.ts';
import { readExtKeyUsage, readKeyUsage } from '../service-config.ts';
import {
  type CertificateProfile,
  defaultProfileName,
  type LifetimeProfile,
} from './certificate-profile.ts';
import type { WrittenProfile } from './profile-schema.ts';

export interface ProfileContext {
  readonly services: ServiceConfig;
  readonly trustDomain: string;
  /** Of the intermediate that lasts longest. */
  readonly longestIssuerMs: number;
  readonly report: Report;
}

/** What `service_certificates` says, as the profile of whatever no other is for. */
export function defaultProfile(services: ServiceConfig): CertificateProfile {
  return {
    name: defaultProfileName,
    lifetime: {
      validityMs: services.validityMs,
      minMs: shortestMs,
      maxMs: services.maxValidityMs,
      maxBy: 'max_validity',
      backdateMs: undefined,
      jitterMs: 0,
      beyondChain: 'refuse',
    },
    keyUsage: services.keyUsage,
    extKeyUsage: services.extKeyUsage,
    extensions: [],
    policies: [],
    keys: services.keyRequired ? [services.key] : undefined,
    uses: undefined,
  };
}

/** The meaning of `profiles`; what one leaves out is as `service_certificates` has it. */
export function interpretProfiles(
  written: Readonly<Record<string, WrittenProfile | null>>,
  context: ProfileContext,
): CertificateProfile[] {
  return Object.entries(written).map(([name, value]) => {
    const path = ['profiles', name];
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(name) || name === defaultProfileName) {
      const form = 'letters, digits, "-" and "_" after a letter, 40 at most';
      const taken = `"${defaultProfileName}" is what service_certificates says`;
      context.report(path, `profile name "${name}" is not made of ${form}; ${taken}`, {
        which: 'key',
      });
    }
    return interpretProfile(name, value ?? {}, path, context);
  });
}

function interpretProfile(
  name: string,
  written: WrittenProfile,
  path: ConfigPath,
  context: ProfileContext,
): CertificateProfile {
  const { services, report } = context;
  const { keyUsage, extKeyUsage } = written;
  return {
    name,
    lifetime: readLifetime(written, path, context),
    keyUsage: keyUsage ? readKeyUsage(keyUsage, [...path, 'keyUsage'], report) : services.keyUsage,
    extKeyUsage: extKeyUsage
      ? readExtKeyUsage(extKeyUsage, [...path, 'extKeyUsage'], report)
      : services.extKeyUsage,
    extensions: readExtensions(written.extensions ?? [], [...path, 'extensions'], report),
    policies: readOids(written.policies ?? [], [...path, 'policies'], report),
    keys: written.keys
      ? readKeys(written.keys, [...path, 'keys'], report)
      : services.keyRequired
        ? [services.key]
        : undefined,
    uses: written.for?.map((use, index) => {
      const at = [...path, 'for', index];
      const names = use.names ? readPatterns(use.names, [...at, 'names'], context) : undefined;
      return { ...readWho(use, at, context), names };
    }),
  };
}

const shortestMs = 1000;

function readLifetime(
  written: WrittenProfile,
  path: ConfigPath,
  { services, longestIssuerMs, report }: ProfileContext,
): LifetimeProfile {
  const say = (key: string, sides: string) =>
    report([...path, key], `${[...path, key].join('.')}: ${sides}`);
  const text = formatDuration;
  const { validity, min_validity: min, max_validity: max } = written;
  const maxMs = max ?? Math.max(validity ?? 0, services.maxValidityMs);
  const validityMs = validity ?? Math.min(services.validityMs, maxMs);
  const minMs = min ?? shortestMs;
  const jitterMs = written.jitter ?? 0;
  const backdateMs = written.backdate;
  if (minMs < shortestMs) say('min_validity', `expected at least 1s, found ${text(minMs)}`);
  if (maxMs < validityMs) {
    say('max_validity', `${text(maxMs)} is shorter than the validity of ${text(validityMs)}`);
  } else if (validityMs < minMs) {
    const key = min === undefined ? 'validity' : 'min_validity';
    say(key, `the validity of ${text(validityMs)} is shorter than the least of ${text(minMs)}`);
  }
  if (maxMs > longestIssuerMs) {
    const sides = `${text(maxMs)} is longer than any intermediate's validity, at most ${text(longestIssuerMs)}`;
    say(max === undefined ? 'validity' : 'max_validity', sides);
  }
  // Half: a certificate is not to end before its holder renews it.
  if (jitterMs * 2 > validityMs) {
    say('jitter', `${text(jitterMs)} is more than half of the validity of ${text(validityMs)}`);
  }
  if (backdateMs !== undefined && backdateMs > longestBackdateMs) {
    say('backdate', `expected at most ${text(longestBackdateMs)}, found ${text(backdateMs)}`);
  }
  if (backdateMs !== undefined && backdateMs >= maxMs) {
    say('backdate', `${text(backdateMs)} is as long as the longest lifetime of ${text(maxMs)}`);
  }
  const maxBy = `max_validity of profile "${path.at(-1)}"`;
  const beyondChain = written.beyond_chain ?? 'refuse';
  return { validityMs, minMs, maxMs, maxBy, backdateMs, jitterMs, beyondChain };
}

/** Clocks that are further off than a day are no skew. */
const longestBackdateMs = 24 * 3_600_000;

/** Extensions that every certificate has, or that are written by another key. */
const ownExtensions: ReadonlyMap<string, string> = new Map([
  [oids.basicConstraints, 'services are no authorities'],
  [oids.keyUsage, 'write keyUsage'],
  [oids.extKeyUsage, 'write extKeyUsage'],
  [oids.certificatePolicies, 'write policies'],
  [oids.subjectAltName, 'names come with the request'],
  [oids.subjectKeyIdentifier, 'the key decides it'],
  [oids.authorityKeyIdentifier, 'the issuer decides it'],
  [oids.crlDistributionPoints, 'the authority decides where its lists are'],
  [oids.freshestCrl, 'the authority decides where its lists are'],
  [oids.authorityInfoAccess, 'the authority decides where it answers'],
  [oids.nameConstraints, 'it is for authorities'],
  [oids.policyMappings, 'it is for authorities'],
  [oids.policyConstraints, 'it is for authorities'],
  [oids.inhibitAnyPolicy, 'it is for authorities'],
]);

const longestExtension = 2048;

function readExtensions(
  written: NonNullable<WrittenProfile['extensions']>,
  path: ConfigPath,
  report: Report,
): Extension[] {
  const seen = new Set<string>();
  return written.flatMap(({ oid, critical = false, value }, index) => {
    const at = [...path, index];
    const say = (key: string, sides: string) =>
      report([...at, key], `${[...at, key].join('.')}: ${sides}`);
    if (!isOid(oid)) say('oid', `expected a dotted OID, found "${oid}"`);
    else if (ownExtensions.has(oid)) say('oid', `"${oidName(oid)}": ${ownExtensions.get(oid)}`);
    else if (seen.has(oid)) say('oid', `"${oid}" is there twice`);
    // RFC 5280 §4.2: who does not know a critical extension refuses the certificate, and our own verifier is among them.
    else if (critical)
      say('critical', `"${oid}" would be refused by every verifier that does not know it`);
    seen.add(oid);
    const bytes = derOf(value);
    if (bytes !== undefined) return [extension.other(oid, false, bytes)];
    say('value', `expected base64 of one DER element of at most ${longestExtension} octets`);
    return [];
  });
}

function derOf(text: string): Uint8Array | undefined {
  const bytes = fromBase64(text);
  if (bytes === undefined || bytes.byteLength > longestExtension) return undefined;
  try {
    readDerTree(bytes);
    return bytes;
  } catch {
    // The caller says what was expected.
    return undefined;
  }
}

export function readOids(texts: readonly string[], path: ConfigPath, report: Report): string[] {
  const found = texts.filter((text, index) => {
    if (isOid(text)) return true;
    const at = [...path, index];
    report(at, `${at.join('.')}: expected a dotted OID, found "${text}"`);
    return false;
  });
  return [...new Set(found)];
}

function isOid(text: string): boolean {
  if (!/^[0-2](\.(0|[1-9]\d*))+$/.test(text) || text.length > 128) return false;
  try {
    der.oid(text);
    return true;
  } catch {
    // The caller says what was expected.
    return false;
  }
}

function readKeys(texts: readonly string[], path: ConfigPath, report: Report): KeyKind[] {
  return texts.flatMap((text, index) => {
    const at = [...path, index];
    const read = keyOf(text);
    if (typeof read === 'string') report(at, `${at.join('.')}: ${read}`);
    else if (isServiceKeyType(read.type)) return [read];
    else report(at, `${at.join('.')}: keys of kind "${text}" are not certified`);
    return [];
  });
}

/** `ECDSA`, `ECDSA P-384`, `RSA 3072`, `Ed25519`; a text: what is wrong. */
function keyOf(text: string): KeyKind | string {
  const [algorithm, size, more] = text.split(/\s+/);
  const least: KeyKind =
    algorithm?.toUpperCase() === 'RSA'
      ? { type: 'RSA', bits: 2048 }
      : { type: 'EC', curve: 'P-256' };
  const isNumber = /^\d+$/.test(size ?? '');
  const read = keyKindFromConfig(
    {
      algorithm,
      ...(size === undefined ? {} : isNumber ? { keySize: Number(size) } : { curve: size }),
    },
    least,
  );
  if ('finding' in read) return read.finding.message;
  return more === undefined ? read.kind : `expected an algorithm and a size, found "${text}"`;
}
