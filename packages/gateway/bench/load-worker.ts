import https from 'node:https';
import tls from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';

/** What the other side of a measurement needs to know; PEM texts. */
export interface LoadCredential {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Asked of the worker: so many handshakes or requests to that port. It answers with their number. */
export interface Load {
  readonly kind: 'handshakes' | 'requests';
  readonly port: number;
  readonly count: number;
  readonly concurrency: number;
}

// A thread of its own, so that the measured thread's CPU time is the server's alone.
const identity = workerData as LoadCredential;
const options = { ...identity, checkServerIdentity: () => undefined };
const agents = new Map<number, https.Agent>();

if (parentPort !== null) {
  const port = parentPort;
  const upstream = https.createServer(
    { ...identity, requestCert: true, rejectUnauthorized: true },
    (_request, response) => response.end('{"ok":true}'),
  );
  upstream.keepAliveTimeout = 60_000;
  upstream.listen(0, '127.0.0.1', () => port.postMessage({ upstream: upstream.address() }));
  port.on('message', async (load: Load) => {
    const one = load.kind === 'handshakes' ? handshake : request;
    let left = load.count;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await one(load.port);
      }
    };
    await Promise.all(Array.from({ length: load.concurrency }, lane));
    port.postMessage({ done: load.count });
  });
}

async function handshake(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = tls.connect({ ...options, port, host: '127.0.0.1' }, () => socket.end());
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.resume();
  });
}

async function request(port: number): Promise<void> {
  const agent = agents.get(port) ?? new https.Agent({ ...options, keepAlive: true, maxSockets: 8 });
  agents.set(port, agent);
  await new Promise<void>((resolve, reject) => {
    const sent = https.get(`https://127.0.0.1:${port}/orders/7`, { agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.resume();
      response.on('end', resolve);
    });
    sent.on('error', reject);
  });
}
