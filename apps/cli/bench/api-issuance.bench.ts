import { createPublicKey, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import type { Socket } from 'node:net';
import { systemClock, toBase64 } from '@countersign/base';
import type { RotatingIdentity } from '@countersign/identity';
import { dialMtls, expectSpiffeId } from '@countersign/mtls';
import {
  buildCertificateRequest,
  buildName,
  generateKeyPair,
  keySigner,
  parseCertificateRequest,
} from '@countersign/x509';
import { idOf, startFleet } from '../test/fleet.ts';

export interface ApiIssuanceFigures {
  /** Verify a request's signature, import its key, sign as many bytes. */
  readonly floorMicros: number;
  /** CPU of the authority's process for one certificate over mTLS, durable in the SQLite ledger. */
  readonly serverCpuMicros: number;
  /** From asking to having the answer, for one of the clients. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly certificatesPerSecond: number;
  readonly ratio: number;
}

/**
 * Certificates over the API by `clients` callers at once, each on its own keep-alive connection. The authority has
 * issued as many before: a process that has just begun pays for the compilation of its code, once.
 */
export async function measureApiIssuance({
  clients = 16,
  each = 120,
} = {}): Promise<ApiIssuanceFigures> {
  const fleet = await startFleet({ validity: '1h', upstream: (_, response) => response.end() });
  try {
    const workloads: RotatingIdentity[] = [];
    for (let i = 0; i < clients; i += 1) {
      workloads.push(await fleet.workload(`bench-${i}`, { isStatic: true }));
    }
    // Other keys than those that are measured: a key that was seen before costs no import.
    const warmers = await Promise.all(Array.from({ length: clients * each }, makeRequest));
    const csrs = await Promise.all(Array.from({ length: clients * each }, makeRequest));
    const floorMicros = await floor(csrs.slice(0, 400));
    const callers = workloads.map((identity) => callerOf(fleet.authorityUrl, identity));
    await renewAll(callers, warmers, each);

    const cpuBefore = cpuMicros(fleet.authorityPid);
    const began = systemClock.monotonic();
    const took = await renewAll(callers, csrs, each);
    const elapsedMs = systemClock.monotonic() - began;
    const serverCpuMicros = (cpuMicros(fleet.authorityPid) - cpuBefore) / took.length;
    took.sort((a, b) => a - b);
    return {
      floorMicros,
      serverCpuMicros,
      p50Ms: took[Math.floor(took.length * 0.5)] ?? 0,
      p99Ms: took[Math.floor(took.length * 0.99)] ?? 0,
      certificatesPerSecond: (took.length / elapsedMs) * 1000,
      ratio: serverCpuMicros / floorMicros,
    };
  } finally {
    await fleet.end();
  }
}

type Renew = (csr: Uint8Array) => Promise<void>;

/** All callers at once, each its requests one after the other. Answers how long each took, in milliseconds. */
async function renewAll(callers: readonly Renew[], csrs: readonly Uint8Array[], each: number) {
  const took: number[] = [];
  await Promise.all(
    callers.map(async (renew, i) => {
      for (let n = 0; n < each; n += 1) {
        const start = systemClock.monotonic();
        await renew(csrs[i * each + n] ?? new Uint8Array());
        took.push(systemClock.monotonic() - start);
      }
    }),
  );
  return took;
}

function callerOf(url: string, identity: RotatingIdentity): Renew {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = ((
    _options: unknown,
    done: (error: unknown, socket?: Socket) => void,
  ) => {
    dialMtls({
      ...{ host: hostname, port: Number(port), svids: identity, bundles: identity },
      ...{ clock: systemClock, expect: expectSpiffeId(idOf('countersign/ca')) },
    }).then(
      ({ socket }) => done(null, socket),
      (thrown) => done(thrown),
    );
  }) as unknown as Agent['createConnection'];
  return (csr) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const sent = request(
        { agent, host: hostname, port, path: '/v1/renew', method: 'POST', headers },
        (response) => {
          response.resume();
          response.on('end', () =>
            response.statusCode === 200
              ? resolve()
              : reject(new Error(`renewal answered ${response.statusCode}`)),
          );
        },
      );
      sent.on('error', reject);
      sent.end(JSON.stringify({ csr: toBase64(csr) }));
    });
}

async function makeRequest(): Promise<Uint8Array> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  return buildCertificateRequest({
    subject: buildName([]),
    extensions: [],
    signer: keySigner(privateKey),
  });
}

async function floor(csrs: readonly Uint8Array[]): Promise<number> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const parsed = csrs.map((csr) => parseCertificateRequest(csr));
  const data = new Uint8Array(480);
  const start = process.cpuUsage();
  for (const { spki, tbs, signature } of parsed) {
    const key = createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
    if (!verify('sha256', tbs, key, signature)) throw new Error('a request does not verify');
    sign('sha256', data, privateKey);
  }
  const { user, system } = process.cpuUsage(start);
  return (user + system) / parsed.length;
}

/** User and system time of a process so far, all its threads. Linux counts it in hundredths of a second. */
function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
