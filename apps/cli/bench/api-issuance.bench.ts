import { createPublicKey, sign, verify } from 'node:crypto';
import { Agent } from 'node:http';
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
import { type Body, type Call, callerThrough, startBareIssuer } from './bare-issuer.ts';
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
  /** The same of a server of Node written by hand ({@link startBareIssuer}), in turns with ours: best round, and middle one. */
  readonly bareMicros: number;
  readonly bareMedianMicros: number;
  readonly bareThreads: readonly (readonly [name: string, micros: number])[];
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
    const bare = await startBareIssuer();
    try {
      const bareCallers = names.map(() => bare.caller());
      // Ours last: an authority that has rested for a second gives memory back, and optimised code with it.
      await callAll(bareCallers, bodiesOf(warmers, perCall));
      await callAll(callers, bodiesOf(warmers, perCall));
      const ours: Round[] = [];
      const theirs: Round[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const [from, to] = [round, round + 1].map((n) => (n * csrs.length) / rounds);
        const some = csrs.slice(from, to);
        ours.push(await roundOf(fleet.authorityPid, callers, some, perCall));
        theirs.push(await roundOf(bare.pid, bareCallers, some, perCall));
      }
      return figuresOf(ours, theirs, floorMicros);
    } finally {
      await bare.end();
    }
  } finally {
    await fleet.end();
  }
}

async function roundOf(
  pid: number,
  callers: readonly Call[],
  csrs: readonly Uint8Array[],
  perCall: number,
): Promise<Round> {
  const before = threadCpu(pid);
  const began = systemClock.monotonic();
  const took = await callAll(callers, bodiesOf(csrs, perCall));
  const elapsedMs = systemClock.monotonic() - began;
  return { took, elapsedMs, cpu: spentSince(before, pid), certificates: csrs.length };
}

interface Round {
  readonly certificates: number;
  readonly elapsedMs: number;
  /** How long each call took, in milliseconds. */
  readonly took: readonly number[];
  readonly cpu: ThreadCpu;
}

/** Of the round that took the least CPU: what a neighbour on the machine takes away is nobody's figure. */
function figuresOf(
  ours: readonly Round[],
  theirs: readonly Round[],
  floorMicros: number,
): ApiIssuanceFigures {
  const { best, middle } = bestAndMiddle(ours);
  const bare = bestAndMiddle(theirs);
  const took = best.took.toSorted((a, b) => a - b);
  const serverCpuMicros = microsOf(best);
  return {
    floorMicros,
    serverCpuMicros,
    medianMicros: microsOf(middle),
    threads: threadsOf(best),
    p50Ms: took[Math.floor(took.length * 0.5)] ?? 0,
    p99Ms: took[Math.floor(took.length * 0.99)] ?? 0,
    certificatesPerSecond: (best.certificates / best.elapsedMs) * 1000,
    ratio: serverCpuMicros / floorMicros,
    bareMicros: microsOf(bare.best),
    bareMedianMicros: microsOf(bare.middle),
    bareThreads: threadsOf(bare.best),
  };
}

function bestAndMiddle(rounds: readonly Round[]): { readonly best: Round; readonly middle: Round } {
  const all = rounds.toSorted((a, b) => microsOf(a) - microsOf(b));
  const [best, middle] = [all[0], all[Math.floor(all.length / 2)]];
  if (best === undefined || middle === undefined) throw new Error('nothing was measured');
  return { best, middle };
}

function microsOf({ cpu, certificates }: Round): number {
  return (cpu.get('all') ?? 0) / certificates;
}

function threadsOf({ cpu, certificates }: Round): [name: string, micros: number][] {
  return [...cpu]
    .map(([name, micros]): [string, number] => [name, micros / certificates])
    .filter(([name, micros]) => name !== 'all' && micros > 1);
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
  return callerThrough(agent, { host: hostname, port });
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
