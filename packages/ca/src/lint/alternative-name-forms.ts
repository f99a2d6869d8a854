import {
  deviceNameOf,
  formatDeviceName,
  formatGeneralName,
  type GeneralName,
  parseDeviceName,
} from '@countersign/x509';
import { parseDnsName } from '../dns-name.ts';
import type { LintRule } from './lint-rule.ts';

export const alternativeNameForms: LintRule = {
  name: 'alternative-name-forms',
  about: 'own',
  clause: 'RFC 5280 §4.2.1.6, X509-SVID §2',
  profiles: ['service'],
  check: ({ subjectAltNames }) => {
    let uris = 0;
    for (const name of subjectAltNames) {
      if (!isFormOfOurs(name)) return `name "${formatGeneralName(name)}"`;
      if (name.kind === 'uri') uris += 1;
    }
    return uris > 1 ? `${uris} URIs, an SVID has one` : undefined;
  },
};

function isDevice(name: GeneralName): boolean {
  const device = deviceNameOf(name);
  return device !== undefined && parseDeviceName(formatDeviceName(device)) !== undefined;
}

function isFormOfOurs(name: GeneralName): boolean {
  if (name.kind === 'ip') return name.bytes.byteLength === 4 || name.bytes.byteLength === 16;
  if (name.kind === 'dns') {
    // RFC 6125 §6.4.3: a wildcard is the leftmost label, whole
    const host = name.value.replace(/^\*\./, '');
    const read = parseDnsName(host);
    return read.ok && read.name === host;
  }
  if (name.kind === 'otherName') return isDevice(name);
  return name.kind === 'uri' && name.value.startsWith('spiffe://');
}
