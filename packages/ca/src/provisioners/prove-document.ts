import { CountersignError, type Denial, denial } from '@countersign/base';
import { nonceOfKey } from '@countersign/wire';
import {
  type Certificate,
  checkSignedData,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import { textOf } from './claim-text.ts';
import type { ProvedToken } from './prove-token.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';
import { certificatesIn } from './provisioner-file.ts';
import type { Evidence } from './read-evidence.ts';

export type DocumentEvidence = Extract<Evidence, { readonly kind: 'aws' | 'azure' }>;

/** Clocks may differ by so much. */
const leewayMs = 60_000;

/**
 * What a cloud says of a virtual machine, where the provisioner's certificates signed it.
 *
 * Denials: ERR_PROVISIONER_TOKEN.
 *
 * @param spki of the request: Azure's nonce is bound to it
 * @throws CountersignError ERR_PROVISIONER_FILE
 */
export async function proveDocument(
  provisioner: ProvisionerConfig,
  evidence: DocumentEvidence,
  { at, spki }: { readonly at: number; readonly spki: Uint8Array },
): Promise<ProvedToken | Denial> {
  const answer =
    evidence.kind === 'aws'
      ? await proveAws(provisioner, evidence, at)
      : await proveAzure(provisioner, evidence, at, spki);
  if (typeof answer !== 'string') return answer;
  const { name } = provisioner;
  return denial('ERR_PROVISIONER_TOKEN', `document for provisioner "${name}": ${answer}`);
}

async function proveAws(
  { certificatesFile = '' }: ProvisionerConfig,
  { data, document }: DocumentEvidence,
  at: number,
): Promise<ProvedToken | string> {
  const certificates = await certificatesIn(certificatesFile);
  const verdict = checkSignedData(data, certificates);
  if (!verdict.ok) return verdict.detail;
  const { notBefore, notAfter } = verdict.signer;
  if (at < notBefore || at > notAfter) return 'the certificate that signed it is not valid now';
  const instance = textOf(document.instanceId) ?? '';
  const account = textOf(document.accountId) ?? '';
  if (instance === '' || account === '') return 'it has no "instanceId" or no "accountId"';
  const pending = Date.parse(textOf(document.pendingTime) ?? '');
  return {
    ok: true,
    claims: document,
    certificate: undefined,
    subject: instance,
    evidence: `aws document of instance "${instance}" in account "${account}"`,
    instance: { id: `${account}/${instance}`, madeAt: Number.isNaN(pending) ? undefined : pending },
  };
}

async function proveAzure(
  { rootsFile = '', nonce: wantedNonce }: ProvisionerConfig,
  { data, document }: DocumentEvidence,
  at: number,
  spki: Uint8Array,
): Promise<ProvedToken | string> {
  // 1. Whose it is: a metadata service's certificate, by the roots and intermediates that are configured.
  const enclosed = certificatesOf(data.certificates);
  if (typeof enclosed === 'string') return enclosed;
  const verdict = checkSignedData(data, enclosed);
  if (!verdict.ok) return verdict.detail;
  const { signer } = verdict;
  const path = validatePath({
    leaf: signer,
    intermediates: enclosed.filter((each) => each !== signer),
    anchors: await certificatesIn(rootsFile),
    at,
    purpose: 'server',
  });
  if (!path.ok) return path.detail;
  const names = signer.subjectAltNames.flatMap((each) => (each.kind === 'dns' ? each.value : []));
  if (!names.some((each) => metadataService.test(each))) {
    return `it is signed by a certificate for "${names.join('", "').slice(0, 200)}", no metadata service`;
  }

  // 2. When, and for which key.
  const times = Object(document.timeStamp) as Readonly<Record<string, unknown>>;
  const [from, to] = [azureTime(times.createdOn), azureTime(times.expiresOn)];
  if (from === undefined || to === undefined) return 'it has no "timeStamp"';
  if (at < from - leewayMs || at >= to + leewayMs) {
    const sides = `from ${iso(from)} to ${iso(to)}, it is now ${iso(at)}`;
    return `it is good ${sides}`;
  }
  const nonce = textOf(document.nonce) ?? '';
  if (wantedNonce === 'key' && nonce !== nonceOfKey(spki)) {
    return `its nonce is "${nonce.slice(0, 40)}", that of the request's key "${nonceOfKey(spki)}"`;
  }

  // 3. Of which machine.
  const [instance, subscription] = [textOf(document.vmId) ?? '', textOf(document.subscriptionId)];
  if (instance === '') return 'it has no "vmId"';
  return {
    ok: true,
    claims: document,
    certificate: undefined,
    subject: instance,
    evidence: `azure document of machine "${instance}" in subscription "${subscription ?? ''}"`,
    instance: { id: instance.toLowerCase(), madeAt: undefined },
  };
}

/** Of the clouds of Azure, at any of their regions. */
const metadataService = /^(?:[a-z0-9-]+\.)*metadata\.azure\.(?:com|us|cn)$/i;

function certificatesOf(enclosed: readonly Uint8Array[]): readonly Certificate[] | string {
  if (enclosed.length > 10) return 'it encloses more than 10 certificates';
  try {
    return enclosed.map((der) => parseCertificate(der));
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return `a certificate in it: ${thrown.message}`;
  }
}

/** `11/20/18 22:07:39 -0000` */
function azureTime(written: unknown): number | undefined {
  const match = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d) -0000$/.exec(textOf(written) ?? '');
  if (match === null) return undefined;
  const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number);
  return Date.UTC(2000 + year, month - 1, day, hour, minute, second);
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
