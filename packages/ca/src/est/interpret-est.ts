import { formatDuration, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { spiffeIdOf } from '@countersign/spiffe';
import type { Report } from '../ca-config-checks.ts';
import { parseDnsName } from '../dns-name.ts';
import { placeholdersOf, sampleOf } from '../name-template.ts';
import {
  type DeviceAttribute,
  deviceAttributes,
  type EstConfig,
  type EstDevices,
  type EstLabel,
} from './est-config.ts';
import { isOperation } from './est-operations.ts';
import type { WrittenEst } from './est-schema.ts';

export interface EstSurroundings {
  readonly trustDomain: string;
  /** Intermediates that sign certificates. */
  readonly intermediates: readonly string[];
  /** Names of the authority's profiles. */
  readonly profiles: readonly string[];
  readonly report: Report;
}

/** The meaning of `est`, reported finding by finding; undefined where the file has none: then there is no such door. */
export function interpretEst(
  written: WrittenEst | null | undefined,
  around: EstSurroundings,
): EstConfig | undefined {
  if (written === null || written === undefined) return undefined;
  const { report } = around;
  const unlabelled = readLabel(undefined, written, ['est'], around);
  const labels = Object.entries(written.labels ?? {}).map(([name, each]) =>
    readLabel(
      name,
      { ...written, provisioner: unlabelled.provisioner, ...each },
      ['est', 'labels', name],
      around,
    ),
  );
  const known = labels.flatMap(({ name }) => name ?? []);
  const entrance = entranceReader(known, report);
  const { limits } = written;
  const failedLoginMs = limits?.failed_login_every ?? 3000;
  if (failedLoginMs < 10 || failedLoginMs > 3_600_000) {
    const sides = `expected 10ms to 1h, found ${formatDuration(failedLoginMs)}`;
    report(['est', 'limits', 'failed_login_every'], `est.limits.failed_login_every: ${sides}`);
  }
  const serverKeygen = written.server_keygen ?? false;
  const decryptKeys = Object.entries(written.decrypt_keys ?? {});
  if (decryptKeys.length > 0 && !serverKeygen) {
    const sides = 'are for keys that are made here, and est.server_keygen is not true';
    report(['est', 'decrypt_keys'], `est.decrypt_keys: ${sides}`, { which: 'key' });
  }
  return {
    unlabelled,
    labels,
    users: (written.users ?? []).map(({ password_file: passwordFile, ...each }, i) => ({
      ...entrance('users', i, each),
      passwordFile,
    })),
    devices: (written.devices ?? []).map((each, i) => ({
      ...entrance('devices', i, each),
      ...readDevices(each, ['est', 'devices', i], around),
    })),
    serverKeygen,
    channelBinding: written.channel_binding ?? 'optional',
    decryptKeys: decryptKeys.map(([id, file]) => ({ id, file })),
    limits: {
      failedLogins: limits?.failed_logins ?? 20,
      failedLoginMs,
      requestsPerHour: limits?.requests_per_hour ?? 1000,
    },
  };
}

function readLabel(
  name: string | undefined,
  written: Pick<WrittenEst, 'provisioner' | 'intermediate' | 'profile' | 'lifetime'>,
  path: ConfigPath,
  { intermediates, profiles, report }: EstSurroundings,
): EstLabel {
  if (name !== undefined && (!/^[A-Za-z0-9._~-]{1,64}$/.test(name) || isOperation(name))) {
    const form = 'expected letters, digits, ".", "_", "~" and "-", and none of the operations';
    report(path, `${path.join('.')}: ${form}`, { which: 'key' });
  }
  const { provisioner = 'est', intermediate, profile, lifetime: lifetimeMs } = written;
  const mustBe = (key: string, value: string | undefined, known: readonly string[]) => {
    if (value === undefined || known.includes(value)) return;
    const nearest = nearestWord(value, known);
    const then = nearest === undefined ? 'there is none' : `the nearest is "${nearest}"`;
    report([...path, key], `${path.join('.')}.${key}: no ${key} "${value}", ${then}`);
  };
  mustBe('intermediate', intermediate, intermediates);
  mustBe('profile', profile, profiles);
  return { name, provisioner, intermediate, profile, lifetimeMs };
}

interface WrittenEntrance {
  readonly name: string;
  readonly provisioner?: string | undefined;
  readonly labels?: readonly string[] | undefined;
}

function entranceReader(known: readonly string[], report: Report) {
  const seen = new Set<string>();
  return (kind: 'users' | 'devices', i: number, { name, provisioner, labels }: WrittenEntrance) => {
    const path = ['est', kind, i];
    // RFC 7617 §2 keeps the colon; the rest would be hard to name in policy rules
    if (!/^[^\s:*\p{Cc}]+$/u.test(name)) {
      const form = 'expected no white space, colon, "*" or control character';
      report([...path, 'name'], `est.${kind}: ${form}, found "${name}"`);
    }
    if (seen.has(`${kind} ${name}`)) {
      report([...path, 'name'], `est.${kind}: "${name}" is there twice`);
    }
    seen.add(`${kind} ${name}`);
    for (const [j, label] of (labels ?? []).entries()) {
      if (known.includes(label)) continue;
      report([...path, 'labels', j], `est.${kind}: no label "${label}" is in est.labels`);
    }
    return { name, provisioner, labels };
  };
}

function readDevices(
  written: NonNullable<WrittenEst['devices']>[number],
  path: ConfigPath,
  { trustDomain, report }: EstSurroundings,
): Omit<EstDevices, keyof WrittenEntrance> {
  const at = 'est.devices';
  const isAttribute = (text: string): text is DeviceAttribute =>
    deviceAttributes.some((each) => each === text);
  const oneOf = `expected one of ${deviceAttributes.join(', ')}`;
  const subject = Object.entries(written.subject ?? {}).flatMap(([type, pattern]) => {
    if (isAttribute(type)) return [{ type, pattern }];
    report([...path, 'subject', type], `${at}.subject: ${oneOf}, found "${type}"`, {
      which: 'key',
    });
    return [];
  });
  const checked = (template: string, key: ConfigPath): string => {
    for (const type of placeholdersOf(template)) {
      if (!isAttribute(type)) report(key, `${at}: ${oneOf} in braces, found "{${type}}"`);
    }
    return sampleOf(template);
  };
  const { names = [], spiffe_id: spiffeId } = written;
  for (const [i, name] of names.entries()) {
    const read = parseDnsName(checked(name, [...path, 'names', i]));
    if (!read.ok) report([...path, 'names', i], `${at}.names: "${name}" ${read.wrong}`);
  }
  if (spiffeId !== undefined) {
    const key = [...path, 'spiffe_id'];
    const sample = checked(spiffeId, key);
    const start = `spiffe://${trustDomain}/`;
    if (spiffeIdOf(sample) === undefined || !sample.startsWith(start)) {
      report(key, `${at}.spiffe_id: expected a SPIFFE ID below "${start}", found "${spiffeId}"`);
    }
  }
  if (names.length === 0 && spiffeId === undefined) {
    report(path, `${at}: "${written.name}" has neither names nor spiffe_id: it could get nothing`);
  }
  return { rootsFile: written.roots_file, subject, names, spiffeId };
}
