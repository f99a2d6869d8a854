import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TrialAuthority, TrialHierarchy } from '@countersign/ca';
import {
  type Certificate,
  certificatesFromPem,
  encodePem,
  parseCertificate,
  revocationReasons,
} from '@countersign/x509';
import type { RenewalInfoOverrides } from './renewal-info-overrides.ts';

interface Managed extends Pick<TrialAuthority, 'hierarchies' | 'ledger'> {
  readonly renewalInfo: RenewalInfoOverrides;
}

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly text?: string;
  readonly link?: readonly string[];
}

const notThere: Answer = { status: 404 };
const maxBodyBytes = 64 * 1024;

/** What Pebble's management interface tells to whoever asks. @returns a listener for its server */
export function managementOf(managed: Managed) {
  return function answerManagement(request: IncomingMessage, response: ServerResponse): void {
    answerOf(managed, request).then(
      ({ status, type, text = '', link = [] }) => {
        if (link.length > 0) response.setHeader('link', link);
        response.writeHead(status, {
          'cache-control': 'public, max-age=0, no-cache',
          ...(type !== undefined && { 'content-type': `${type}; charset=utf-8` }),
          'content-length': Buffer.byteLength(text),
        });
        response.end(request.method === 'HEAD' ? undefined : text);
      },
      () => response.destroy(),
    );
  };
}

async function answerOf(managed: Managed, request: IncomingMessage): Promise<Answer> {
  const [path = ''] = (request.url ?? '').split('?');
  const [, resource = '', name = ''] = /^\/([a-z-]+)\/([^/]*)$/.exec(path) ?? [];
  if (Object.hasOwn(ofHierarchies, resource)) {
    return ofOne(managed.hierarchies, resource, name, request);
  }
  if (resource === 'cert-status-by-serial') return await statusOf(managed, name);
  if (resource === 'set-renewal-info') return await setRenewalInfo(managed, request);
  return notThere;
}

type Shown = (hierarchy: TrialHierarchy) => Pick<Answer, 'type' | 'text'>;

/** By number: the usual hierarchy is 0, the others are Pebble's alternates. */
const ofHierarchies: Readonly<Record<string, Shown>> = {
  roots: ({ root }) => shownCertificate(root),
  intermediates: ({ intermediate }) => shownCertificate(intermediate),
  'root-keys': ({ rootKey }) => shownKey(rootKey),
  'intermediate-keys': ({ intermediateKey }) => shownKey(intermediateKey),
};

function ofOne(
  hierarchies: readonly TrialHierarchy[],
  resource: string,
  name: string,
  request: IncomingMessage,
): Answer {
  const number = /^\d{1,3}$/.test(name) ? Number(name) : -1;
  const [asked, show] = [hierarchies[number], ofHierarchies[resource]];
  if (asked === undefined || show === undefined) return notThere;
  const origin = `https://${request.headers.host ?? 'localhost'}`;
  const link = hierarchies.flatMap((_, i) =>
    i === number ? [] : [`<${origin}/${resource}/${i}>;rel="alternate"`],
  );
  return { status: 200, ...show(asked), link };
}

function shownCertificate({ raw }: Certificate) {
  return { type: 'application/pem-certificate-chain', text: encodePem('CERTIFICATE', raw) };
}

/** As Go's tools write them: PKCS #1, and SEC 1 for keys of ECDSA. */
function shownKey(key: KeyObject) {
  const type = key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1';
  return { type: 'application/x-pem-file', text: String(key.export({ type, format: 'pem' })) };
}

async function statusOf({ ledger }: Managed, written: string): Promise<Answer> {
  // Go's serials are numbers, so that a zero in front is lost.
  if (!/^[0-9a-f]{1,40}$/i.test(written)) return { status: 400 };
  const serialHex = written.toLowerCase().padStart(40, '0');
  const record = await ledger.certificate(serialHex);
  if (record === undefined) return notThere;
  const found = await ledger.certificateStatus(serialHex);
  const revocation = found.status === 'revoked' ? found.revocation : undefined;
  const text = JSON.stringify({
    Status: revocation === undefined ? 'Valid' : 'Revoked',
    Serial: serialHex.replace(/^0+/, ''),
    Certificate: encodePem('CERTIFICATE', record.der),
    ...(revocation !== undefined && {
      Reason: revocationReasons[revocation.reason],
      RevokedAt: new Date(revocation.at).toISOString(),
    }),
  });
  return { status: 200, type: 'application/json', text };
}

/** `{"Certificate": PEM, "ARIResponse": text}`: what renewalInfo answers of it from then on, be it right or wrong. */
async function setRenewalInfo(managed: Managed, request: IncomingMessage): Promise<Answer> {
  if (request.method !== 'POST') return { status: 405 };
  const body = await bodyOf(request);
  try {
    const { Certificate: pem, ARIResponse: text } = JSON.parse(body);
    const [named] = certificatesFromPem(String(pem));
    if (named === undefined || typeof text !== 'string') return { status: 400 };
    const record = await managed.ledger.certificate(named.serialHex);
    if (record === undefined) return notThere;
    managed.renewalInfo.set(parseCertificate(record.der), text);
    return { status: 200 };
  } catch {
    return { status: 400, type: 'text/plain', text: 'expected {"Certificate", "ARIResponse"}' };
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += (part as Buffer).byteLength;
    if (length > maxBodyBytes) throw new RangeError(`more than ${maxBodyBytes} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}
