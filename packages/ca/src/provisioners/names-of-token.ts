import { type Denial, denial } from '@countersign/base';
import { parseIpAddress } from '@countersign/x509';
import {
  formatNames,
  type NamesResult,
  namesBeyond,
  namesOf,
  parseNames,
} from '../certificate-names.ts';
import { fillTemplate } from '../name-template.ts';
import { textOf } from './claim-text.ts';
import type { ProvedToken } from './prove-token.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';

/**
 * What a token gives: by the templates of its provisioner, what it says itself, or of its certificate's what it asks for.
 * Denials: ERR_PROVISIONER_CLAIMS, ERR_POLICY_*.
 */
export function namesOfToken(provisioner: ProvisionerConfig, token: ProvedToken): NamesResult {
  if (token.certificate !== undefined) return namesInCertificate(provisioner, token);
  return provisioner.type === 'jwk'
    ? namesInClaims(provisioner, token)
    : namesByTemplate(provisioner, token);
}

/** All of them unless the token says which in `sans`, as step's clients do. */
function namesInCertificate(provisioner: ProvisionerConfig, token: ProvedToken): NamesResult {
  const has = namesOf(token.certificate?.subjectAltNames ?? []);
  const { sans } = token.claims;
  if (!has.ok || sans === undefined || (Array.isArray(sans) && sans.length === 0)) return has;
  const asked = namesInClaims(provisioner, token);
  if (!asked.ok) return asked;
  const [beyond] = namesBeyond(asked.names, has.names);
  if (beyond === undefined) return asked;
  const known = formatNames(has.names).join('", "').slice(0, 400);
  return lacking(provisioner, `asks for "${beyond}" in "sans", its certificate has "${known}"`);
}

/** As step-ca's clients write them: `sans`, or `sub` alone. */
function namesInClaims(provisioner: ProvisionerConfig, { claims }: ProvedToken): NamesResult {
  const { sans = [], sub } = claims;
  if (!Array.isArray(sans)) return lacking(provisioner, 'has a "sans" that is no list');
  const foreign = sans.find((each) => typeof each !== 'string');
  if (foreign !== undefined) {
    const found = JSON.stringify(foreign).slice(0, 80);
    return lacking(provisioner, `has ${found} in "sans", which is a list of texts`);
  }
  const names = (sans.length > 0 ? sans : [sub]).map(textOf);
  if (names.some((each) => each === undefined || each === '')) {
    return lacking(provisioner, 'says no names in "sans", nor one in "sub"');
  }
  const texts = names.map(String);
  const uris = texts.filter((each) => each.includes('://'));
  if (uris.length > 1) return lacking(provisioner, `has ${uris.length} URIs, one SPIFFE ID fits`);
  const ip = texts.filter((each) => parseIpAddress(each) !== undefined);
  const dns = texts.filter((each) => !uris.includes(each) && !ip.includes(each));
  return parseNames({ spiffeId: uris[0], dns, ip });
}

function namesByTemplate(provisioner: ProvisionerConfig, { claims }: ProvedToken): NamesResult {
  const { spiffeId, dns, type } = provisioner;
  const more = type === 'kubernetes' ? serviceAccountIn(claims.sub) : {};
  if (more === undefined) {
    return lacking(provisioner, 'has a "sub" that is no service account');
  }
  const valueFor = (name: string) => more[name] ?? textOf(claims[name]);
  const written: string[] = [];
  for (const template of dns) {
    const name = fillTemplate(template, 'dns', valueFor);
    if (!name.ok) return lacking(provisioner, `has a claim that does not fit: ${name.wrong}`);
    written.push(name.text);
  }
  const id = spiffeId === undefined ? undefined : fillTemplate(spiffeId, 'spiffe', valueFor);
  if (id?.ok === false) return lacking(provisioner, `has a claim that does not fit: ${id.wrong}`);
  return parseNames({ spiffeId: id?.text, dns: written });
}

/** `system:serviceaccount:<namespace>:<name>` */
function serviceAccountIn(sub: unknown): Readonly<Record<string, string>> | undefined {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(textOf(sub) ?? '');
  if (match === null) return undefined;
  const [, namespace = '', serviceaccount = ''] = match;
  return { namespace, serviceaccount };
}

function lacking({ name }: ProvisionerConfig, why: string): Denial {
  return denial('ERR_PROVISIONER_CLAIMS', `token for provisioner "${name}" ${why}`);
}
