import { readFile } from 'node:fs/promises';
import { type Clock, CountersignError, messageOf, Secret } from '@countersign/base';
import { nonceOfKey } from '@countersign/wire';
import { type TpmEvidenceOrder, tpmEvidence } from '../tpm/tpm-evidence.ts';
import { askMetadata } from './ask-metadata.ts';
import { type EvidenceSource, metadataAddress } from './evidence-source.ts';

export interface EvidenceOrder {
  /** DER of the SubjectPublicKeyInfo that is to be certified: Azure's document is bound to it. */
  readonly spki: Uint8Array;
  /** Asks the authority that the evidence is for. */
  readonly challenge: TpmEvidenceOrder['challenge'];
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * What `POST /v1/enrol` takes as token, fetched anew.
 *
 * @throws CountersignError ERR_EVIDENCE_FILE, ERR_EVIDENCE_METADATA, ERR_TPM_*
 */
export async function fetchEvidence(
  source: EvidenceSource,
  order: EvidenceOrder,
): Promise<Secret<string>> {
  if (source.kind === 'file') return await tokenIn(source.path);
  if (source.kind === 'tpm') return await tpmEvidence(source, order);
  const at = (source.metadata ?? metadataAddress).replace(/\/$/, '');
  if (source.kind === 'aws') return await awsDocument(at, order);
  if (source.kind === 'gcp') return await gcpToken(at, source.audience, order);
  return source.audience === undefined
    ? await azureDocument(at, order)
    : await azureToken(at, { ...source, audience: source.audience }, order);
}

async function tokenIn(path: string): Promise<Secret<string>> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (thrown) {
    const message = `read the token in "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_EVIDENCE_FILE', message, { cause: thrown });
  }
  if (/^ey[\w-]*\.[\w-]+\.[\w-]+$/.test(text)) return new Secret(text);
  const message = `read the token in "${path}": ${text === '' ? 'it is empty' : 'it is no JWT'}`;
  throw new CountersignError('ERR_EVIDENCE_FILE', message);
}

/** By a session (IMDSv2), which a request that is only forwarded cannot begin. */
async function awsDocument(at: string, { signal }: EvidenceOrder): Promise<Secret<string>> {
  const session = await askMetadata({
    url: `${at}/latest/api/token`,
    method: 'PUT',
    headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '60' },
    signal,
  });
  const url = `${at}/latest/dynamic/instance-identity/rsa2048`;
  const headers = { 'X-aws-ec2-metadata-token': session.text };
  const { text } = await askMetadata({ url, headers, signal });
  return new Secret(`aws:${text}`);
}

async function gcpToken(
  at: string,
  audience: string,
  { signal }: EvidenceOrder,
): Promise<Secret<string>> {
  const query = new URLSearchParams({ audience, format: 'full' });
  const url = `${at}/computeMetadata/v1/instance/service-accounts/default/identity?${query}`;
  const flavour = { 'Metadata-Flavor': 'Google' };
  const { text, headers } = await askMetadata({ url, headers: flavour, signal });
  if (headers['metadata-flavor'] === 'Google') return new Secret(text);
  throw unusable(url, 'is no metadata service of Google: it says no Metadata-Flavor');
}

const attempts = 5;

/** The service may answer with what it has kept for an earlier nonce, for some seconds. */
async function azureDocument(
  at: string,
  { spki, signal, clock }: EvidenceOrder,
): Promise<Secret<string>> {
  const nonce = nonceOfKey(spki);
  const query = new URLSearchParams({ 'api-version': '2020-09-01', nonce });
  const url = `${at}/metadata/attested/document?${query}`;
  for (let left = attempts - 1; ; left -= 1) {
    const { text } = await askMetadata({ url, headers: { Metadata: 'true' }, signal });
    const signature = memberOf(url, text, 'signature');
    const content = Buffer.from(signature, 'base64').toString('latin1');
    if (content.includes(nonce)) return new Secret(`azure:${signature}`);
    if (left === 0) throw unusable(url, `answered ${attempts} times with another nonce`);
    await clock.sleep(1000, { signal });
  }
}

async function azureToken(
  at: string,
  source: { readonly audience: string; readonly clientId?: string | undefined },
  { signal }: EvidenceOrder,
): Promise<Secret<string>> {
  const query = new URLSearchParams({ 'api-version': '2018-02-01', resource: source.audience });
  if (source.clientId !== undefined) query.set('client_id', source.clientId);
  const url = `${at}/metadata/identity/oauth2/token?${query}`;
  const { text } = await askMetadata({ url, headers: { Metadata: 'true' }, signal });
  return new Secret(memberOf(url, text, 'access_token'));
}

function memberOf(url: string, text: string, name: string): string {
  let value: unknown;
  try {
    value = (Object(JSON.parse(text)) as Readonly<Record<string, unknown>>)[name];
  } catch {
    throw unusable(url, 'answered no JSON');
  }
  if (typeof value === 'string' && value !== '') return value;
  throw unusable(url, `answered without "${name}"`);
}

function unusable(url: string, why: string): CountersignError {
  return new CountersignError('ERR_EVIDENCE_METADATA', `metadata service at "${url}" ${why}`);
}
