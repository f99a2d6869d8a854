import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Clock, type Log, type Meter, noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener, isAnonymous, type PeerOf } from '@countersign/mtls';
import {
  formatBundleDocument,
  makeBundle,
  makeSvid,
  staticBundles,
  staticSvid,
  type TrustBundle,
} from '@countersign/spiffe';
import { type Mutations, type TestCa, type TestCredential, testCa } from '@countersign/testkit';
import {
  createJoinToken,
  formatFeedFrame,
  formatIssueResponse,
  formatProblem,
  type IssueResponse,
  type JoinToken,
  parseEnrolRequest,
  parseRenewRequest,
  problemContentType,
  problemFrom,
} from '@countersign/wire';
import {
  buildName,
  encodePem,
  extension,
  fingerprintOf,
  keyIdOf,
  parseCertificate,
  parseCertificateRequest,
  parseIpAddress,
  type SubjectPublicKeyInfo,
  signCertificate,
  verifyPossession,
} from '@countersign/x509';
import type { Identity } from './identity.ts';
import type { Renew } from './renewal.ts';

export const paymentsId = 'spiffe://example.com/ns/prod/sa/payments';

export interface SigningDouble {
  readonly ca: TestCa;
  readonly issuing: TestCa;
  readonly bundle: TrustBundle;
  readonly token: JoinToken;
  /** Lifetime of what is issued from now on. */
  ttlMs: number;
  /** What it does to an answer before it is sent. */
  mutate: (response: IssueResponse) => IssueResponse;
  issue(csr: Uint8Array, id?: string): Promise<IssueResponse>;
  identity(mutations?: Mutations & { id?: string }): Identity;
}

/** Signs requests as an authority would, in memory, without policy or ledger. */
export function signingDouble(clock: Clock, ttlMs = 3_600_000): SigningDouble {
  const ca = testCa({ at: clock.now() });
  const issuing = ca.intermediate();
  const bundle = makeBundle('example.com', [ca.root]);
  const double: SigningDouble = {
    ca,
    issuing,
    bundle,
    token: createJoinToken((size) => new Uint8Array(randomBytes(size)), fingerprintOf(ca.root)),
    ttlMs,
    mutate: (response) => response,
    async issue(csr, id = paymentsId) {
      const request = parseCertificateRequest(csr);
      if (!verifyPossession(request)) throw new Error('no proof of possession');
      const leaf = parseCertificate(await sign(double, request.spki, id, clock.now()));
      return double.mutate({
        spiffeId: id,
        serial: leaf.serialHex,
        notAfter: leaf.notAfter,
        chain: [leaf.raw, issuing.certificate.raw],
        bundle: JSON.parse(formatBundleDocument(bundle)),
        trustDomain: 'example.com',
      });
    },
    identity(mutations = {}) {
      const { id = paymentsId, ...rest } = mutations;
      const { chain, privateKey } = issuing.svid(id, {
        notBefore: clock.now(),
        notAfter: clock.now() + double.ttlMs,
        ...rest,
      });
      return { svid: makeSvid(chain, privateKey), bundle };
    },
  };
  return double;
}

export function renewInProcess(double: SigningDouble): Renew {
  return ({ csr, current }) => double.issue(csr, current.svid.spiffeId.toString());
}

function sign(
  { issuing, ttlMs }: SigningDouble,
  spki: SubjectPublicKeyInfo,
  id: string,
  now: number,
): Promise<Uint8Array> {
  return signCertificate(
    {
      serial: new Uint8Array(randomBytes(16)).map((byte, i) =>
        i === 0 ? (byte & 0x3f) | 0x40 : byte,
      ),
      issuer: issuing.certificate.subject,
      subject: buildName([]),
      // As authorities do, for relying parties whose clocks are behind.
      notBefore: now - 60_000,
      notAfter: now + ttlMs,
      spki,
      extensions: [
        extension.basicConstraints(),
        extension.keyUsage(['digitalSignature']),
        extension.extKeyUsage(['serverAuth', 'clientAuth']),
        extension.subjectAltName([{ kind: 'uri', value: id }], true),
        extension.authorityKeyId(
          issuing.certificate.subjectKeyId ?? keyIdOf(issuing.certificate.spki),
        ),
      ],
    },
    issuing.signer,
  );
}

export interface HttpsDouble extends SigningDouble {
  readonly url: string;
  readonly fingerprint: string;
  /** Method, path and peer of every request, and whether its body had the token. */
  readonly seen: { path: string; peer: string; hadToken: boolean }[];
  /** Roots that it claims to have, instead of its own. */
  anchors: string;
  /** Answers instead of the routes. */
  answer: ((path: string, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/**
 * A small HTTPS authority in place of the real one, which this room may not import: the real TLS listener, bundle,
 * enrol, renew and a feed of two frames. The real authority is enrolled at in the tests of `apps/cli`.
 */
export async function httpsDouble(
  options: { server?: (issuing: TestCa) => TestCredential; log?: Log; meter?: Meter } = {},
): Promise<HttpsDouble> {
  const signing = signingDouble(systemClock);
  const { issuing, ca } = signing;
  const server =
    options.server?.(issuing) ??
    issuing.svid('spiffe://example.com/countersign/ca', {
      names: [{ kind: 'ip', bytes: parseIpAddress('127.0.0.1') ?? new Uint8Array() }],
    });
  const peers = new WeakMap<object, PeerOf>();
  const http = createServer((request, response) => {
    void respond(double, request, response, peers.get(request.socket)).catch(() => {
      response.destroy();
    });
  });
  const listener = createMtlsListener({
    name: 'authority double',
    svids: staticSvid(makeSvid(server.chain, server.privateKey)),
    bundles: staticBundles(signing.bundle),
    clientAuth: 'request',
    clock: systemClock,
    log: options.log ?? noLog,
    meter: options.meter ?? noMeter,
    onConnection(socket, peer) {
      peers.set(socket, peer);
      http.emit('connection', socket);
    },
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  const double: HttpsDouble = Object.assign(signing, {
    url: `https://127.0.0.1:${port}`,
    fingerprint: fingerprintOf(ca.root),
    seen: [],
    anchors: encodePem('CERTIFICATE', ca.root.raw),
    answer: undefined,
    async close() {
      http.close();
      await listener.close(0);
    },
  });
  return double;
}

async function respond(
  double: HttpsDouble,
  request: IncomingMessage,
  response: ServerResponse,
  peer: PeerOf | undefined,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'https://x').pathname;
  let body = '';
  for await (const part of request) body += String(part);
  const hadToken = body.includes('cst1.');
  const name = peer === undefined || isAnonymous(peer) ? 'anonymous' : `${peer.spiffeId}`;
  double.seen.push({ path, peer: name, hadToken });
  if (double.answer?.(path, response) === true) return;
  const send = (type: string, text: string, status = 200) =>
    response.writeHead(status, { 'content-type': type }).end(text);
  if (path === '/v1/bundle.pem') return void send('application/x-pem-file', double.anchors);
  if (path === '/v1/feed') {
    const feed = { 'content-type': 'application/x-ndjson' };
    const anchors = [double.fingerprint];
    const hello = {
      type: 'hello',
      trustDomain: 'example.com',
      anchors,
      position: 0,
      heartbeatMs: 50,
    } as const;
    response.writeHead(200, feed).write(formatFeedFrame(hello));
    await systemClock.sleep(20);
    return void response.write(formatFeedFrame({ type: 'heartbeat', position: 0, at: 1 }));
  }
  if (path === '/v1/enrol') {
    const { token, csr } = parseEnrolRequest(JSON.parse(body));
    const isOurs = token.id === double.token.id && sameSecret(token, double.token);
    if (!isOurs) return void refuse(response);
    return void send('application/json', formatIssueResponse(await double.issue(csr)));
  }
  const { csr } = parseRenewRequest(JSON.parse(body));
  if (name === 'anonymous') return void refuse(response);
  send('application/json', formatIssueResponse(await double.issue(csr, name)));
}

export function refuse(response: ServerResponse): void {
  const cause = { code: 'ERR_WIRE_MESSAGE', detail: 'no' } as const;
  const problem = problemFrom(cause, { id: 'lookup-7', audience: 'caller', status: 403 });
  response.writeHead(403, { 'content-type': problemContentType }).end(formatProblem(problem));
}

function sameSecret(a: JoinToken, b: JoinToken): boolean {
  const hash = (token: JoinToken) =>
    createHash('sha256').update(token.secret.reveal()).digest('hex');
  return hash(a) === hash(b);
}
