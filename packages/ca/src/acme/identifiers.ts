import {
  formatDeviceName,
  formatIpAddress,
  parseDeviceName,
  parseIpAddress,
} from '@countersign/x509';
import { parseDnsName } from '../dns-name.ts';
import type { AcmeConfig } from './acme-config.ts';
import { formatIdentifier, type Identifier, isDevice, sameIdentifier } from './acme-objects.ts';
import { type AcmeProblem, problem, type Subproblem } from './acme-problem.ts';
import { isRecord } from './jose.ts';

/** The identifiers of a new order, each in its one spelling, none twice. Problems: malformed, and those of names. */
export function readIdentifiers(
  written: unknown,
  config: AcmeConfig,
): { readonly ok: true; readonly identifiers: readonly Identifier[] } | AcmeProblem {
  if (!Array.isArray(written) || written.length === 0) {
    return problem('malformed', '"identifiers" is a list with one member at least');
  }
  const most = config.limits.identifiers;
  if (written.length > most) {
    return problem(
      'malformed',
      `${written.length} identifiers are asked for, at most ${most} are taken`,
    );
  }
  const identifiers: Identifier[] = [];
  const refused: Subproblem[] = [];
  for (const each of written) {
    if (!isRecord(each) || typeof each.type !== 'string' || typeof each.value !== 'string') {
      return problem('malformed', 'an identifier has "type" and "value", both strings');
    }
    const read = readIdentifier(each.type, each.value.slice(0, 300), config);
    if ('detail' in read) refused.push(read);
    else if (!identifiers.some((other) => sameIdentifier(other, read))) identifiers.push(read);
  }
  if (refused.length > 0) return refusedIdentifiers(refused);
  return { ok: true, identifiers };
}

/** One is the problem itself, several are its subproblems (RFC 8555 §6.7.1). */
export function refusedIdentifiers(refused: readonly Subproblem[]): AcmeProblem {
  const [first] = refused;
  const type = refused.every((each) => each.type === first?.type) ? first?.type : undefined;
  const names = refused.map(({ identifier }) => `"${formatIdentifier(identifier)}"`).join(', ');
  const detail =
    refused.length === 1 ? (first?.detail ?? '') : `${names} are refused, each for its own reason`;
  return problem(type ?? 'malformed', detail, { subproblems: refused });
}

function readIdentifier(type: string, value: string, config: AcmeConfig): Identifier | Subproblem {
  const shown = { type: type as Identifier['type'], value };
  if (type === 'ip') {
    const bytes = parseIpAddress(value);
    // RFC 8738 §3: the form of RFC 5952
    if (bytes !== undefined && formatIpAddress(bytes) === value.toLowerCase()) {
      return { type, value: formatIpAddress(bytes) };
    }
    return {
      type: 'malformed',
      detail: `"${value}" is no IP address in its shortest form`,
      identifier: shown,
    };
  }
  if (config.deviceAttestation !== undefined && isDevice(shown)) {
    const device = parseDeviceName(formatIdentifier(shown));
    if (device !== undefined)
      return { ...shown, value: formatDeviceName(device).slice(type.length + 1) };
    const form = type === 'hardware-module' ? 'OID:HEX' : 'up to 200 characters of ASCII';
    const detail = `"${value}" is no ${type}, which is ${form}`;
    return { type: 'malformed', detail, identifier: shown };
  }
  if (type !== 'dns') {
    const detail = `"${type.slice(0, 40)}" is not understood, "dns" and "ip" are`;
    return { type: 'unsupportedIdentifier', detail, identifier: shown };
  }
  const name = parseDnsName(value.startsWith('*.') ? value.slice(2) : value);
  if (!name.ok) {
    return { type: 'malformed', detail: `DNS name "${value}" ${name.wrong}`, identifier: shown };
  }
  const blocked = config.blockedDomains.find(
    (domain) => name.name === domain || name.name.endsWith(`.${domain}`),
  );
  if (blocked !== undefined) {
    return {
      type: 'rejectedIdentifier',
      detail: `"${value}" is not signed here`,
      identifier: shown,
    };
  }
  return { type: 'dns', value: value.startsWith('*.') ? `*.${name.name}` : name.name };
}
