import { readFile } from 'node:fs/promises';
import { CountersignError, equalBytes, messageOf } from '@countersign/base';
import {
  attributeOf,
  type Certificate,
  certificatesFromPem,
  fingerprintOf,
  formatName,
  validatePath,
} from '@countersign/x509';
import { fillTemplate } from '../name-template.ts';
import { globMatches } from '../policy/text-glob.ts';
import type { DeviceAttribute, EstDevices } from './est-config.ts';

/** A device whose manufacturer vouches for it, and what it may have. */
export interface Device {
  readonly rule: EstDevices;
  readonly leaf: Certificate;
  /** For the ledger. */
  readonly words: string;
  readonly dns: readonly string[];
  readonly spiffeId: string | undefined;
}

/**
 * Which entry of est.devices a certificate is of; a text: why it is of none.
 *
 * @throws CountersignError ERR_EST_FILE
 */
export async function deviceOf(
  rules: readonly EstDevices[],
  chain: readonly Certificate[],
  at: number,
): Promise<Device | string> {
  const [leaf, ...shown] = chain;
  if (leaf === undefined) return 'no certificate is shown';
  const reasons: string[] = [];
  for (const rule of rules) {
    const known = await certificatesIn(rule.rootsFile);
    const isRoot = (each: Certificate) => equalBytes(each.issuer.raw, each.subject.raw);
    const path = validatePath({
      leaf,
      intermediates: [...shown, ...known.filter((each) => !isRoot(each))],
      anchors: known.filter(isRoot),
      at,
      purpose: 'client',
    });
    const found = path.ok ? readDevice(rule, leaf) : path.detail;
    if (typeof found !== 'string') return found;
    reasons.push(`"${rule.name}": ${found}`);
  }
  return reasons.join('; ') || 'est.devices is empty';
}

function readDevice(rule: EstDevices, leaf: Certificate): Device | string {
  for (const { type, pattern } of rule.subject) {
    const value = attributeOf(leaf.subject, type);
    if (value !== undefined && globMatches(pattern, value)) continue;
    return `${type} of its subject is "${value ?? ''}", "${pattern}" is wanted`;
  }
  const valueFor = (type: string) => attributeOf(leaf.subject, type as DeviceAttribute);
  const dns: string[] = [];
  for (const template of rule.names) {
    const name = fillTemplate(template, 'dns', valueFor);
    if (!name.ok) return `of its subject, ${name.wrong}`;
    dns.push(name.text);
  }
  const spiffe =
    rule.spiffeId === undefined ? undefined : fillTemplate(rule.spiffeId, 'spiffe', valueFor);
  if (spiffe?.ok === false) return `of its subject, ${spiffe.wrong}`;
  const words = `device "${formatName(leaf.subject).slice(0, 200)}" of "${rule.name}", certificate ${fingerprintOf(leaf)}`;
  return { rule, leaf, words, dns, spiffeId: spiffe?.text };
}

async function certificatesIn(file: string): Promise<readonly Certificate[]> {
  try {
    return certificatesFromPem(await readFile(file));
  } catch (thrown) {
    const message = `read the certificates of "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_EST_FILE', message, { fields: { file }, cause: thrown });
  }
}
