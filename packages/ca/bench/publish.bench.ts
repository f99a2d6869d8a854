import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  buildCertificateRequest,
  buildOcspRequest,
  certIdOf,
  encodeOcspGetPath,
  generateKeyPair,
  keySigner,
  parseCertificate,
} from '@countersign/x509';
import { type Authority, ephemeralAuthority, parseCaConfig } from '../src/index.ts';
import { startPublishing } from '../src/publish/start-publishing.ts';
import { measureRevocation, type RevocationFigures } from './revocation.bench.ts';

export interface OcspServingFigures {
  /** CPU of the thread that serves, a GET that was asked before, HTTP included. */
  readonly memoryGetMicros: number;
  readonly memoryPostMicros: number;
  /** The same with a nonce, so signed for this request alone. */
  readonly demandMicros: number;
  /** A Node server that gives every GET the same bytes: what HTTP alone takes. */
  readonly bareMicros: number;
}

export { measureRevocation, type RevocationFigures };

const clients = 16;
const warm = 4000;
const counted = 12_000;

/** OCSP over HTTP, keep-alive, 16 clients in a thread of their own that is not counted. */
export async function measureOcspServing(): Promise<OcspServingFigures> {
  const config = parseCaConfig(configText, 'bench.yaml');
  const authority = await ephemeralAuthority({ config, clock: systemClock });
  const parts = { authority, port: 0, clock: systemClock, log: noLog, meter: noMeter };
  const publishing = await startPublishing(parts);
  if (publishing === undefined) throw new Error('nothing is published');
  const certIds = await Promise.all(Array.from({ length: 50 }, () => certIdOfNew(authority)));
  const plain = certIds.map((certId) => buildOcspRequest({ certIds: [certId] }));
  const nonce = new Uint8Array(32).fill(7);
  const nonced = certIds.map((certId) => buildOcspRequest({ certIds: [certId], nonce }));
  const port = Number(new URL(publishing.url).port);
  const gets = plain.map((request) => ({ path: `/ocsp/${encodeOcspGetPath(request)}` }));
  const post = (body: Uint8Array) => ({ path: '/ocsp', body });
  try {
    return {
      memoryGetMicros: await microsOf(port, gets),
      memoryPostMicros: await microsOf(port, plain.map(post)),
      demandMicros: await microsOf(port, nonced.map(post)),
      bareMicros: await bareMicros(gets),
    };
  } finally {
    await publishing.close(100);
    await authority.close();
  }
}

async function bareMicros(asked: readonly Asked[]): Promise<number> {
  const body = new Uint8Array(1000);
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': body.byteLength }).end(body);
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
  const micros = await microsOf(port, asked);
  server.closeAllConnections();
  server.close();
  return micros;
}

interface Asked {
  readonly path: string;
  readonly body?: Uint8Array;
}

async function certIdOfNew(authority: Authority) {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
  const issued = await authority.issue({ csr, spiffeId: 'spiffe://example.com/ns/prod/sa/bench' });
  if (!issued.ok) throw new Error(issued.detail);
  return certIdOf(parseCertificate(issued.chain[0]), parseCertificate(issued.chain[1]), 'sha1');
}

/** CPU time of this thread alone, of one answer. */
async function microsOf(port: number, asked: readonly Asked[]): Promise<number> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { port, asked } });
  const told = (): Promise<void> => new Promise((resolve) => worker.once('message', resolve));
  await told();
  const before = process.threadCpuUsage();
  worker.postMessage('go');
  await told();
  const { user, system } = process.threadCpuUsage(before);
  await worker.terminate();
  return (user + system) / counted;
}

async function askMany(port: number, asked: readonly Asked[], times: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < times) {
      const one = asked[next % asked.length];
      next += 1;
      if (one !== undefined) await ask(port, agent, one);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  agent.destroy();
}

function ask(port: number, agent: Agent, { path, body }: Asked): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers =
      body === undefined
        ? {}
        : { 'content-type': 'application/ocsp-request', 'content-length': body.byteLength };
    const method = body === undefined ? 'GET' : 'POST';
    const request = httpRequest(
      { host: '127.0.0.1', port, agent, method, path, headers },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        response.resume().once('end', resolve);
      },
    );
    request.once('error', reject);
    request.end(body);
  });
}

const configText = `
ca: { intermediate: { services: {} } }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
publish: { url: "http://pki.example.com" }
`;

if (parentPort !== null) {
  const { port, asked } = workerData;
  await askMany(port, asked, warm);
  parentPort.postMessage('warm');
  parentPort.once('message', async () => {
    await askMany(port, asked, counted);
    parentPort?.postMessage('done');
  });
} else if (import.meta.main) {
  const f = await measureOcspServing();
  const [get, post, demand] = [f.memoryGetMicros, f.memoryPostMicros, f.demandMicros].map(
    (micros) => micros.toFixed(1),
  );
  console.log(
    `ocsp over http: from memory ${get} µs (GET), ${post} µs (POST); on demand ${demand} µs; bare ${f.bareMicros.toFixed(1)} µs`,
  );
  for (const revoked of [10_000, 1_000_000]) {
    const r = await measureRevocation(revoked);
    console.log(
      `revocation with ${revoked} revoked: ${r.micros.toFixed(0)} µs of CPU, lists included; list of ${r.entries} entries`,
    );
  }
}
