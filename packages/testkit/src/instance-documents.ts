import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import {
  buildName,
  buildSignedData,
  type Certificate,
  cmsOids,
  type Extension,
  encodePem,
  extension,
  keyIdOf,
  keySigner,
  type Name,
  parseCertificate,
  type Signer,
  signCertificate,
} from '@countersign/x509';

/*
 * Identity documents of clouds, of the shape that their metadata services give, signed by keys of a test.
 */

export interface DocumentSigner {
  /** PEM: what a provisioner has to know. */
  readonly pem: string;
  sign(document: object): Promise<string>;
}

/** As a region of AWS signs: RSA 2048, a certificate of its own, `…/instance-identity/rsa2048`. */
export async function awsRegion(): Promise<DocumentSigner> {
  const signer = rsaSigner();
  const subject = buildName([
    { type: 'C', value: 'US' },
    { type: 'O', value: 'Amazon Web Services LLC' },
  ]);
  const certificate = await certify({ subject, signer });
  return {
    pem: encodePem('CERTIFICATE', certificate.raw),
    sign: (document) => signed(document, signer, [certificate]),
  };
}

export function awsDocument(changes: object = {}): object {
  return {
    accountId: '123456789012',
    architecture: 'x86_64',
    availabilityZone: 'eu-central-1a',
    imageId: 'ami-0123456789abcdef0',
    instanceId: `i-${randomBytes(8).toString('hex')}`,
    instanceType: 't3.micro',
    pendingTime: new Date(Date.now() - 60_000).toISOString().replace(/\.\d+Z$/, 'Z'),
    privateIp: '10.0.0.7',
    region: 'eu-central-1',
    version: '2017-09-30',
    ...changes,
  };
}

/** As Azure's metadata service signs: a TLS certificate of a public authority, here one of the test's. */
export async function azureService(dns = 'metadata.azure.com'): Promise<DocumentSigner> {
  const [root, service] = [rsaSigner(), rsaSigner()];
  const issuer = buildName([{ type: 'CN', value: 'Test Root' }]);
  const rootCertificate = await certify({
    subject: issuer,
    signer: root,
    extensions: [
      extension.basicConstraints({ ca: true }),
      extension.keyUsage(['keyCertSign', 'cRLSign']),
      extension.subjectKeyId(keyIdOf(root.spki)),
    ],
  });
  const certificate = await certify({
    subject: buildName([{ type: 'CN', value: dns }]),
    ...{ issuer, signer: root, holder: service },
    extensions: [
      extension.subjectAltName([{ kind: 'dns', value: dns }]),
      extension.authorityKeyId(keyIdOf(root.spki)),
      extension.keyUsage(['digitalSignature']),
      extension.extKeyUsage(['serverAuth', 'clientAuth']),
    ],
  });
  return {
    pem: encodePem('CERTIFICATE', rootCertificate.raw),
    sign: (document) => signed(document, service, [certificate]),
  };
}

export function azureDocument(nonce: string, changes: object = {}): object {
  const now = Date.now();
  return {
    licenseType: '',
    nonce,
    plan: { name: '', product: '', publisher: '' },
    sku: '22_04-lts-gen2',
    subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
    timeStamp: { createdOn: azureTime(now - 1000), expiresOn: azureTime(now + 6 * 3_600_000) },
    vmId: '13f56399-bd52-4150-9748-7190aae1ff21',
    ...changes,
  };
}

export function azureTime(at: number): string {
  const [, year, month, day, time] = /^\d\d(\d\d)-(\d\d)-(\d\d)T([\d:]+)/.exec(
    new Date(at).toISOString(),
  ) as unknown as string[];
  return `${month}/${day}/${year} ${time} -0000`;
}

/** What a virtual machine of Google gets for `format=full`. */
export function gcpClaims(changes: object = {}, engine: object = {}): object {
  return {
    iss: 'https://accounts.google.com',
    azp: '107517467455664443765',
    sub: '107517467455664443765',
    email: 'web@shop.iam.gserviceaccount.com',
    email_verified: true,
    google: {
      compute_engine: {
        instance_creation_timestamp: Math.floor(Date.now() / 1000) - 60,
        instance_id: '152986662232938449',
        instance_name: 'web-1',
        project_id: 'shop',
        project_number: 739419398126,
        zone: 'europe-west3-a',
        ...engine,
      },
    },
    ...changes,
  };
}

async function signed(
  document: object,
  signer: Signer,
  chain: readonly [Certificate, ...Certificate[]],
): Promise<string> {
  const content = Buffer.from(JSON.stringify(document, undefined, 2));
  const built = await buildSignedData({ contentType: cmsOids.data, content, signer, chain });
  const base64 = Buffer.from(built).toString('base64');
  // In lines, as the metadata services give it.
  return base64.replaceAll(/.{64}/g, '$&\n');
}

function rsaSigner(): Signer {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 }) as {
    privateKey: KeyObject;
  };
  return keySigner(privateKey);
}

async function certify({
  subject,
  issuer = subject,
  signer,
  holder = signer,
  extensions = [],
}: {
  readonly subject: Name;
  readonly issuer?: Name;
  readonly signer: Signer;
  readonly holder?: Signer;
  readonly extensions?: readonly Extension[];
}): Promise<Certificate> {
  const [notBefore, notAfter] = [Date.now() - 3_600_000, Date.now() + 86_400_000];
  const serial = Uint8Array.of(1, ...randomBytes(8));
  const parts = { serial, issuer, subject, notBefore, notAfter, spki: holder.spki, extensions };
  return parseCertificate(await signCertificate(parts, signer));
}
