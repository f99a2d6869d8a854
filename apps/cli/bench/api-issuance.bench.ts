import { createPublicKey, sign, verify } from 'node:crypto';
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
import { type Fleet, idOf, startFleet } from '../test/fleet.ts';
import { spentSince, type ThreadCpu, threadCpu } from './thread-cpu.ts';

export interface ApiIssuanceFigures {
  /** Verify a request's signature, import its key, sign as many bytes. */
  readonly floorMicros: number;
  /** CPU of the authority's process for one certificate over mTLS, durable in the SQLite ledger: best round, and middle one. */
  readonly serverCpuMicros: number;
  readonly medianMicros: number;
  /** The same by thread, those that take above a microsecond. */
  readonly threads: readonly (readonly [name: string, micros: number])[];
  /** From asking to having the answer of a call, for one of the clients. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly certificatesPerSecond: number;
  readonly ratio: number;
}

export interface ApiIssuanceLoad {
  readonly clients?: number;
  /** Of each client in a round, one after the other. */
  readonly calls?: number;
  readonly rounds?: number;
  /** One: renewals. More: that many orders of a registrar in a batch. */
  readonly perCall?: number;
}

/**
 * Certificates over the API by `clients` callers at once, each on its own keep-alive connection. The authority has
 * issued as many before: a process that has just begun pays for the compilation of its code, once.
 */
export async function measureApiIssuance({
  clients = 16,
  calls = 30,
  perCall = 1,
  rounds = 8,
}: ApiIssuanceLoad = {}): Promise<ApiIssuanceFigures> {
  const names = Array.from({ length: clients }, (_, i) => `bench-${i}`);
  const fleet = await startFleet({
    validity: '1h',
    upstream: (_, response) => response.end(),
    registrars: names,
  });
  try {
    const callers: Call[] = [];
    for (const name of names) callers.push(await callerOf(fleet, name));
    // Other keys than those that are measured: a key that was seen before costs no import.
    const count = clients * calls * perCall * rounds;
    const warmers = await makeRequests(count);
    const csrs = await makeRequests(count);
    const floorMicros = await floor(csrs.slice(0, 400));
    await callAll(callers, bodiesOf(warmers, perCall));

    const measured: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const some = csrs.slice((round * csrs.length) / rounds, ((round + 1) * csrs.length) / rounds);
      const before = threadCpu(fleet.authorityPid);
      const began = systemClock.monotonic();
      const took = await callAll(callers, bodiesOf(some, perCall));
      const elapsedMs = systemClock.monotonic() - began;
      const cpu = spentSince(before, fleet.authorityPid);
      measured.push({ took, elapsedMs, cpu, certificates: some.length });
    }
    return figuresOf(measured, floorMicros);
  } finally {
    await fleet.end();
  }
}

interface Round {
  readonly certificates: number;
  readonly elapsedMs: number;
  /** How long each call took, in milliseconds. */
  readonly took: readonly number[];
  readonly cpu: ThreadCpu;
}

/** Of the round that took the least CPU: what a neighbour on the machine takes away is nobody's figure. */
function figuresOf(rounds: readonly Round[], floorMicros: number): ApiIssuanceFigures {
  const microsOf = ({ cpu, certificates }: Round) => (cpu.get('all') ?? 0) / certificates;
  const all = rounds.toSorted((a, b) => microsOf(a) - microsOf(b));
  const [best, middle] = [all[0], all[Math.floor(all.length / 2)]];
  if (best === undefined || middle === undefined) throw new Error('nothing was measured');
  const took = best.took.toSorted((a, b) => a - b);
  const serverCpuMicros = microsOf(best);
  return {
    floorMicros,
    serverCpuMicros,
    medianMicros: microsOf(middle),
    threads: [...best.cpu]
      .map(([name, micros]) => [name, micros / best.certificates] as const)
      .filter(([name, micros]) => name !== 'all' && micros > 1),
    p50Ms: took[Math.floor(took.length * 0.5)] ?? 0,
    p99Ms: took[Math.floor(took.length * 0.99)] ?? 0,
    certificatesPerSecond: (best.certificates / best.elapsedMs) * 1000,
    ratio: serverCpuMicros / floorMicros,
  };
}

interface Body {
  readonly path: string;
  readonly text: string;
}

/** A body a call. */
function bodiesOf(csrs: readonly Uint8Array[], perCall: number): Body[] {
  if (perCall === 1) {
    return csrs.map((csr) => ({
      path: '/v1/renew',
      text: JSON.stringify({ csr: toBase64(csr) }),
    }));
  }
  return Array.from({ length: csrs.length / perCall }, (_, call) => {
    const orders = csrs.slice(call * perCall, (call + 1) * perCall).map((csr, i) => ({
      csr: toBase64(csr),
      spiffeId: idOf(`ns/prod/sa/workload-${i}`),
    }));
    return { path: '/v1/issue/batch', text: JSON.stringify({ orders }) };
  });
}

type Call = (body: Body) => Promise<void>;

/** All callers at once, each its calls one after the other. Answers how long each took, in milliseconds. */
async function callAll(callers: readonly Call[], bodies: readonly Body[]): Promise<number[]> {
  const took: number[] = [];
  const left = bodies.values();
  await Promise.all(
    callers.map(async function callInTurn(call) {
      for (const body of left) {
        const start = systemClock.monotonic();
        await call(body);
        took.push(systemClock.monotonic() - start);
      }
    }),
  );
  return took;
}

async function callerOf(fleet: Fleet, name: string): Promise<Call> {
  const identity: RotatingIdentity = await fleet.workload(name, { isStatic: true });
  const { hostname, port } = new URL(fleet.authorityUrl);
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
  return ({ path, text }) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const sent = request(
        { agent, host: hostname, port, path, method: 'POST', headers },
        (response) => {
          let refused = false;
          response.on('data', (part: Uint8Array) => {
            refused ||= Buffer.from(part).includes('"ok":false');
          });
          response.on('end', () =>
            response.statusCode === 200 && !refused
              ? resolve()
              : reject(new Error(`${path} answered ${response.statusCode}`)),
          );
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
}

async function makeRequests(count: number): Promise<Uint8Array[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
      return buildCertificateRequest({
        subject: buildName([]),
        extensions: [],
        signer: keySigner(privateKey),
      });
    }),
  );
}

async function floor(csrs: readonly Uint8Array[]): Promise<number> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const parsed = csrs.map((csr) => parseCertificateRequest(csr));
  const data = new Uint8Array(480);
  const start = process.threadCpuUsage();
  for (const { spki, tbs, signature } of parsed) {
    const key = createPublicKey({ key: Buffer.from(spki.raw), format: 'der', type: 'spki' });
    if (!verify('sha256', tbs, key, signature)) throw new Error('a request does not verify');
    sign('sha256', data, privateKey);
  }
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / parsed.length;
}
