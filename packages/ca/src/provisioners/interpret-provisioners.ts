import { nearestWord } from '@countersign/base';
import { spiffeIdOf } from '@countersign/spiffe';
import { isNetwork } from '@countersign/wire';
import type { Report } from '../ca-config-checks.ts';
import { parseDnsName } from '../dns-name.ts';
import { sampleOf } from '../name-template.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';
import type { WrittenProvisioners } from './provisioner-schema.ts';

export interface ProvisionerSurroundings {
  readonly trustDomain: string;
  readonly intermediates: readonly string[];
  readonly profiles: readonly string[];
  readonly report: Report;
  /** What can be meant, and should be known. */
  readonly notices: string[];
}

/** The meaning of `provisioners`, reported finding by finding. */
export function interpretProvisioners(
  written: WrittenProvisioners | null | undefined,
  around: ProvisionerSurroundings,
): readonly ProvisionerConfig[] {
  const names = new Set<string>();
  return (written ?? []).map((each, i) => {
    const path = ['provisioners', i];
    const { name } = each;
    if (!/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name)) {
      const form = 'expected a letter, then letters, digits, "_", "." and "-"';
      around.report([...path, 'name'], `provisioners: ${form}, found "${name}"`);
    }
    if (names.has(name)) {
      around.report([...path, 'name'], `provisioners: "${name}" is there twice`);
    }
    names.add(name);
    return readProvisioner(each, i, around);
  });
}

function readProvisioner(
  written: WrittenProvisioners[number],
  i: number,
  { trustDomain, intermediates, profiles, report, notices }: ProvisionerSurroundings,
): ProvisionerConfig {
  const { name, type, spiffe_id: spiffeId, dns = [], allow = [] } = written;
  const path = ['provisioners', i];
  const tell = (key: keyof typeof written, sides: string) =>
    report(key in written ? [...path, key] : path, `provisioners "${name}": ${key} ${sides}`);

  // 1. What each type has and has not.
  const isOneTime = type === 'jwk' || type === 'x5c';
  const isDocument =
    type === 'aws' || type === 'tpm' || (type === 'azure' && written.issuer === undefined);
  for (const [key, belongs] of Object.entries(belonging)) {
    const known = key as keyof typeof belonging;
    if (written[known] === undefined || belongs.some((each) => each === type)) continue;
    tell(known, `is nothing of type ${type}: ${belongs.join(' and ')} have it`);
  }
  const isTold = type === 'oidc' || type === 'kubernetes';
  if (isTold && written.issuer === undefined) tell('issuer', 'is missing');
  if (type === 'jwk' && written.jwks_file === undefined) tell('jwks_file', 'is missing');
  if (type === 'x5c' && written.roots_file === undefined) tell('roots_file', 'is missing');
  if (type === 'aws' && written.certificates_file === undefined) {
    tell('certificates_file', 'is missing: what the regions sign documents with');
  }
  if (type === 'azure' && (written.issuer === undefined) === (written.roots_file === undefined)) {
    tell(
      'roots_file',
      'is for documents, issuer for tokens of managed identities: one is expected',
    );
  }
  if (isDocument && written.audiences !== undefined) tell('audiences', 'are nothing of documents');
  if (isDocument && written.jwks_url !== undefined) tell('jwks_url', 'is nothing of documents');
  if (isDocument && written.jwks_file !== undefined) tell('jwks_file', 'is nothing of documents');
  if (!isDocument && written.nonce !== undefined) tell('nonce', 'is of documents of azure');
  if (!isDocument && written.audiences === undefined) tell('audiences', 'is missing');
  if (written.jwks_url !== undefined && written.jwks_file !== undefined) {
    tell('jwks_file', 'stands beside jwks_url, one of both is expected');
  }
  if (!isOneTime && spiffeId === undefined && dns.length === 0) {
    tell('spiffe_id', 'and dns are missing: nobody could get a name');
  }
  const claims = Object.entries(written.claims ?? {});
  if (type === 'oidc' && claims.length === 0) {
    tell('claims', `is missing: whoever has a token of "${written.issuer}" could come`);
  }
  const wrongEk = type === 'tpm' ? wrongWithEk(written) : undefined;
  if (wrongEk !== undefined) tell('claims', wrongEk);
  else if (type === 'tpm' && written.claims?.ek?.includes('*') === true) {
    const whose = `every genuine TPM below "${written.roots_file}" may come, whoever owns it`;
    notices.push(`provisioners "${name}": ek is "*", so that ${whose}`);
  }
  const account = accounts[type];
  if (account !== undefined && written.claims?.[account] === undefined) {
    tell('claims', `does not say "${account}": every machine of that cloud could come`);
  }

  // 2. What they name.
  for (const template of dns) {
    const read = parseDnsName(sampleOf(template));
    if (!read.ok) tell('dns', `"${template}" ${read.wrong}`);
  }
  const start = `spiffe://${trustDomain}/`;
  if (spiffeId !== undefined) {
    const sample = sampleOf(spiffeId);
    const isOurs = spiffeIdOf(sample) !== undefined && sample.startsWith(start);
    if (!isOurs) tell('spiffe_id', `"${spiffeId}" is no SPIFFE ID below "${start}"`);
  }
  const mustBe = (key: 'intermediate' | 'profile', known: readonly string[]) => {
    const value = written[key];
    if (value === undefined || known.includes(value)) return;
    const nearest = nearestWord(value, known);
    tell(key, `"${value}" is not there${nearest === undefined ? '' : `, nearest is "${nearest}"`}`);
  };
  mustBe('intermediate', intermediates);
  mustBe('profile', profiles);
  for (const network of allow) {
    if (!isNetwork(network)) tell('allow', `"${network}" is no network such as 10.0.0.0/8`);
  }
  return {
    ...{ name, type, spiffeId, dns, allow },
    issuer: written.issuer ?? (type === 'gcp' ? 'https://accounts.google.com' : name),
    jwksUrl: written.jwks_url,
    jwksFile: written.jwks_file,
    encryptedKeyFile: written.encrypted_key_file,
    caFile: written.ca_file,
    rootsFile: written.roots_file,
    certificatesFile: written.certificates_file,
    audiences: written.audiences ?? [],
    maxInstanceAgeMs: written.max_instance_age,
    isReusable: written.reusable === true,
    nonce: written.nonce ?? 'key',
    claims: claims.map(([claim, values]) => ({ name: claim, values: [values].flat() })),
    intermediate: written.intermediate,
    profile: written.profile,
    lifetimeMs: written.lifetime,
    requestsPerHour: written.requests_per_hour ?? 1000,
  };
}

/** Whoever has no list of machines must say so: a maker's root alone vouches for anybody's machine. */
function wrongWithEk({ claims, roots_file: roots }: WrittenProvisioners[number]) {
  const either = 'list the SHA-256 of each endorsement key (64 lowercase hexadecimal digits)';
  const how = `${either}, or write exactly "*" beside roots_file to take every genuine TPM`;
  const ek = claims?.ek;
  if (ek === undefined) return `does not say "ek", so that every TPM could come: ${how}`;
  const values = [ek].flat();
  if (values.length === 1 && values[0] === '*') {
    if (roots !== undefined) return undefined;
    return `has ek "*" and roots_file is missing, so that software could come as a TPM: ${how}`;
  }
  if (values.length === 0) return `has an empty list for "ek": ${how}`;
  const wrong = values.find((each) => !/^[0-9a-f]{64}$/.test(each));
  return wrong === undefined ? undefined : `has ek "${wrong}", which is no such hash: ${how}`;
}

/** The claim that says whose machine it is. */
const accounts: Partial<Record<WrittenProvisioners[number]['type'], string>> = {
  aws: 'accountId',
  gcp: 'project_id',
  azure: 'subscriptionId',
};

/** Keys that only some types have. */
const belonging = {
  issuer: ['oidc', 'kubernetes', 'jwk', 'x5c', 'gcp', 'azure'],
  jwks_url: ['oidc', 'kubernetes', 'gcp', 'azure'],
  jwks_file: ['oidc', 'kubernetes', 'jwk', 'gcp', 'azure'],
  encrypted_key_file: ['jwk'],
  ca_file: ['oidc', 'kubernetes', 'gcp', 'azure'],
  allow: ['oidc', 'kubernetes', 'gcp', 'azure'],
  roots_file: ['x5c', 'azure', 'tpm'],
  certificates_file: ['aws'],
  spiffe_id: ['oidc', 'kubernetes', 'aws', 'gcp', 'azure', 'tpm'],
  dns: ['oidc', 'kubernetes', 'aws', 'gcp', 'azure', 'tpm'],
  max_instance_age: ['aws', 'gcp'],
  reusable: ['aws', 'gcp', 'azure', 'tpm'],
  nonce: ['azure'],
} as const satisfies Partial<Record<keyof WrittenProvisioners[number], readonly string[]>>;
