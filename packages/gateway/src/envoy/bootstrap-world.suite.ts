import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { type TestCredential, testCa } from '@countersign/testkit';
import { buildOcspResponse, certIdOf, encodePem, ocspResponder } from '@countersign/x509';
import { bootstrapOf } from './bootstrap-document.suite.ts';
import type { Asked } from './bootstrap-table.suite.ts';

const root = testCa();
const issuing = root.intermediate();
const foreign = testCa();
const idOf = (name: string) => `spiffe://example.test/${name}`;
const credentialOf = (name: string) => issuing.svid(idOf(name));
const clients: Readonly<Record<string, TestCredential>> = {
  alice: credentialOf('alice'),
  mallory: credentialOf('mallory'),
  revoked: credentialOf('revoked'),
  foreign: foreign.svid(idOf('alice')),
  plain: issuing.leaf({ dns: ['client.partner.test'] }),
};

export interface BootstrapWorld {
  readonly bootstrap: object;
  readonly ports: Readonly<Record<Asked['listener'], number>>;
  readonly directory: string;
}

/** Files, upstreams and a bootstrap that names them. */
export async function bootstrapWorld(t: TestContext): Promise<BootstrapWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-bootstrap-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const lists = [
    await root.crl([]),
    await issuing.crl([(clients.revoked as TestCredential).certificate]),
  ];
  const edge = issuing.svid(idOf('edge'), { dns: ['mutual.test', 'web.test'] });
  const orders = issuing.svid(idOf('orders'), { dns: ['orders.test'] });
  const stranger = foreign.svid(idOf('orders'), { dns: ['orders.test'] });
  const now = Date.now();
  const staple = await buildOcspResponse({
    ...{ responder: ocspResponder({ signer: issuing.signer }), producedAt: now - 1000 },
    answers: [
      {
        certId: certIdOf(edge.certificate, issuing.certificate, 'sha1'),
        ...{ status: { status: 'good' }, thisUpdate: now - 1000, nextUpdate: now + 3_600_000 },
      },
    ],
  });
  writeFileSync(join(directory, 'staple.der'), staple);
  const files = {
    staple: join(directory, 'staple.der'),
    ca: file('ca.pem', root.rootPem),
    crl: file('crl.pem', lists.map(({ raw }) => encodePem('X509 CRL', raw)).join('')),
    cert: file('cert.pem', edge.chainPem),
    key: file('key.pem', edge.keyPem),
  };
  const ports = { edge: await freePort(), clear: await freePort(), tunnel: await freePort() };
  const upstreams = {
    web: await listen(t, http.createServer(answer())),
    tls: await listen(
      t,
      https.createServer({ cert: orders.chainPem, key: orders.keyPem }, answer()),
    ),
    mutual: await listen(
      t,
      https.createServer(
        {
          cert: orders.chainPem,
          key: orders.keyPem,
          ca: root.rootPem,
          requestCert: true,
          rejectUnauthorized: true,
        },
        answer(),
      ),
    ),
    stranger: await listen(
      t,
      https.createServer({ cert: stranger.chainPem, key: stranger.keyPem }, answer()),
    ),
    dead: await freePort(),
  };
  return { bootstrap: bootstrapOf(files, ports, upstreams), ports, directory };
}

/** Answers with what it saw; does not answer `/slow`, and `/flaky` only the second time. */
function answer(): http.RequestListener {
  let failed = false;
  return (request, response) => {
    const { url = '', headers } = request;
    if (url.startsWith('/slow')) return;
    if (url.startsWith('/flaky') && !failed) {
      failed = true;
      response.writeHead(500);
      response.end();
      return;
    }
    response.end(JSON.stringify({ url, headers }));
  };
}

export interface Outcome {
  readonly result: number | 'refused';
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** Asks, by a connection of its own. */
export async function askOf(ports: BootstrapWorld['ports'], asked: Asked): Promise<Outcome> {
  const { listener, client, sni, method = 'GET', path = '/', headers } = asked;
  const who = client === undefined ? undefined : clients[client];
  const port = ports[listener];
  const sent =
    listener === 'clear'
      ? http.request({ host: '127.0.0.1', port, method, path, headers, agent: false })
      : https.request({
          ...{ host: '127.0.0.1', port, method, path, headers, agent: false },
          ...{ rejectUnauthorized: false, servername: sni ?? '' },
          ...(who !== undefined && { cert: who.chainPem, key: who.keyPem }),
        });
  sent.end();
  try {
    const [response] = (await once(sent, 'response')) as [http.IncomingMessage];
    const chunks: Uint8Array[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    return { result: response.statusCode ?? 0, headers: response.headers, body };
  } catch {
    return { result: 'refused', headers: {}, body: '' };
  }
}

/** What a handshake with TLS 1.2 shows beside the certificate: by which suite and group, and the staple's length. */
export async function handshakeOf(port: number, servername: string): Promise<string> {
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port, servername, rejectUnauthorized: false },
    ...{ requestOCSP: true, maxVersion: 'TLSv1.2' },
  });
  let staple = 0;
  socket.on('OCSPResponse', (shown: Buffer | null) => {
    staple = shown?.byteLength ?? 0;
  });
  await once(socket, 'secureConnect');
  const { name } = socket.getEphemeralKeyInfo() as { readonly name?: string };
  const suite = socket.getCipher().name;
  socket.destroy();
  return `${suite} ${name} ${staple > 100 ? 'stapled' : 'not stapled'}`;
}

export const expectedHandshake = 'ECDHE-ECDSA-AES256-GCM-SHA384 prime256v1 stapled';

/** What is wrong with an outcome by the table; undefined where nothing is. */
export function wrongWith(asked: Asked, outcome: Outcome): string | undefined {
  const { expect, sees = {} } = asked;
  const { result, headers, body } = outcome;
  const isOurs = headers['content-type'] === 'application/problem+json';
  // A refused client completes our handshake, and is told by an opaque code.
  const isRefused = result === 'refused' || (isOurs && (result === 401 || result === 403));
  const isUnavailable = typeof result === 'number' && result >= 502 && result <= 504;
  const fits =
    expect === 'refused' ? isRefused : expect === 'unavailable' ? isUnavailable : result === expect;
  if (!fits) return `expected ${expect}, got ${result} ${body.slice(0, 200)}`;
  const seen = body.startsWith('{"url"')
    ? (JSON.parse(body) as { url: string; headers: http.IncomingHttpHeaders })
    : undefined;
  for (const [key, wanted] of Object.entries(sees)) {
    const found = partOf(key, outcome, seen);
    if (key === 'xfcc' ? (wanted === undefined) !== (found === undefined) : found !== wanted) {
      return `expected ${key} ${wanted}, got ${found}`;
    }
    if (
      key === 'xfcc' &&
      wanted !== undefined &&
      !/^By=[^;]+;Hash=[0-9a-f]{64};Subject=".*";URI=spiffe:\/\/example.test\/alice/.test(
        found ?? '',
      )
    ) {
      return `got ${found}`;
    }
  }
  return undefined;
}

function partOf(
  key: string,
  { headers, body }: Outcome,
  seen: { url: string; headers: http.IncomingHttpHeaders } | undefined,
): string | undefined {
  if (key === 'location') return headers.location;
  if (key === 'body') return body;
  if (key === 'answered') return String(headers['x-answered']);
  if (key === 'url') return seen?.url;
  const name = key === 'xfcc' ? 'x-forwarded-client-cert' : key;
  const value = seen?.headers[name];
  return Array.isArray(value) ? value.join(', ') : value?.replaceAll(/,(?! )/g, ', ');
}

async function listen(t: TestContext, server: http.Server | https.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  server.on('tlsClientError', () => {});
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
