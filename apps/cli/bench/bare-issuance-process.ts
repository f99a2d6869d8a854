// What an authority cannot do without, written by hand: a server of Node over mTLS, the cryptography of a certificate, its
// rows durable before the signature and after it, an answer of as many bytes. No policy, no revocation, no lint, no log, no
// trail that is chained. Prints its port.
import { createPublicKey, hash, sign, verify } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { generateKeyPair, parseCertificateRequest } from '@countersign/x509';
import type { BareRow } from '../../../packages/ca/bench/bare-rows-thread.ts';

const [home = '', pem = ''] = process.argv.slice(2);
const identity: { readonly key: string; readonly cert: string } = JSON.parse(pem);
const thread = new Worker(
  new URL('../../../packages/ca/bench/bare-rows-thread.ts', import.meta.url),
  { workerData: join(home, 'bare.db') },
);
const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
/** As long as a certificate without its signature. */
const tbs = new Uint8Array(480);
/** The chain above, and the trust bundle. */
const rest = 'c'.repeat(1300);

let waiting: { readonly row: BareRow; readonly done: () => void }[] = [];
let underWay: typeof waiting | undefined;

/** Durable when it resolves; what comes in one turn of the event loop, and while a commit is under way, goes together. */
function durably(row: BareRow): Promise<void> {
  return new Promise((done) => {
    waiting.push({ row, done });
    if (waiting.length === 1 && underWay === undefined) setImmediate(commit);
  });
}

function commit(): void {
  if (underWay !== undefined || waiting.length === 0) return;
  underWay = waiting;
  waiting = [];
  thread.postMessage(underWay.map(({ row }) => row));
}

thread.on('message', () => {
  for (const { done } of underWay ?? []) done();
  underWay = undefined;
  if (waiting.length > 0) setImmediate(commit);
});

let position = 0;

async function certify(request: string, name: string): Promise<string> {
  const { spki, tbs: asked, signature } = parseCertificateRequest(Buffer.from(request, 'base64'));
  const key = createPublicKey({ key: spki.raw as Buffer, format: 'der', type: 'spki' });
  if (!verify('sha256', asked, key, signature)) throw new Error('a request does not verify');
  position += 1;
  const at = position;
  const serial = `01${at.toString(16).padStart(14, '0')}${'5'.repeat(24)}`;
  await durably([at, serial, name, hash('sha256', spki.raw), 1.7e12 + at]);
  const der = Buffer.concat([tbs, sign('sha256', tbs, privateKey)]);
  await durably([at, der]);
  return der.toString('base64');
}

const options = { ...identity, requestCert: true, rejectUnauthorized: false };
const server = createServer({ ...options, keepAliveTimeout: 60_000 }, (request, response) => {
  const parts: Uint8Array[] = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    const { csr, orders = [{ csr }] } = JSON.parse(Buffer.concat(parts).toString());
    const certificates = await Promise.all(
      orders.map((order: { readonly csr: string }, i: number) =>
        certify(order.csr, `spiffe://fleet.internal/bench-${(position + i) % 16}`),
      ),
    );
    const body = JSON.stringify({ certificates, rest });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready https://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once('SIGTERM', () => process.exit(0));
