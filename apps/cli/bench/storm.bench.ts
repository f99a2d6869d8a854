import type { KeyObject } from 'node:crypto';
import { systemClock, toBase64 } from '@countersign/base';
import { authorityClient, makeOwnRequest, retryWaitMs, turnWaitMs } from '@countersign/identity';
import type { AuthorityClient } from '@countersign/wire';
import { buildCertificateRequest, keySigner } from '@countersign/x509';
import { idOf, startFleet } from '../test/fleet.ts';
import { StormClient, type StormWorkload, stormKey } from './storm-client.ts';
import { spentSince, threadCpu } from './thread-cpu.ts';

export interface StormFigures {
  readonly workloads: number;
  /** Of them, behind agents, which renew for several in one call. */
  readonly behindAgents: number;
  readonly agents: number;
  /** From the end of the outage until the last workload had its certificate. */
  readonly allSeconds: number;
  /** Requests that were answered 503 with Retry-After, and the most that one workload met. */
  readonly sentAway: number;
  readonly mostOfOne: number;
  /** Answers that were neither a certificate nor 503 with Retry-After, connections that broke included. */
  readonly failed: number;
  /** Of those that come themselves: workloads whose certificate ended before the new one came. */
  readonly lapsed: number;
  /** Callers that had none when the bench gave up. */
  readonly unfinished: number;
  /** From a caller's first attempt to its certificates, whatever it was told meanwhile. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The same of those whose certificates ended soon. */
  readonly hastyP99Ms: number;
  readonly cpuMicros: number;
}

export interface StormOptions {
  /** Workloads that come themselves, each with a certificate and a connection of its own. */
  readonly alone?: number;
  readonly agents?: number;
  readonly eachAgent?: number;
  /** All come within this time, although the back-off of clients spreads them over five minutes. */
  readonly withinMs?: number;
  readonly giveUpMs?: number;
}

/** One in twenty of those that come themselves has a certificate that ends soon after the outage. */
const hastyEach = 20;
const hastyTtlMs = 100_000;
/** As of `startRotation`. */
const backoff = { minMs: 1000, maxMs: 300_000 };
const perBatch = 200;

/**
 * A fleet whose authority was away for so long that everything in it is due: some workloads by themselves, most behind the
 * agents of their machines. Every caller has a certificate of its own and makes a connection of its own, and comes again as
 * the library and the agent do. All have one key, and requests that were made before, since making keys would be most of
 * the clients' work.
 */
export async function measureStorm({
  alone = 10_000,
  agents: agentCount = 3000,
  eachAgent = 30,
  withinMs = 120_000,
  giveUpMs = 480_000,
}: StormOptions = {}): Promise<StormFigures> {
  const fleet = await startFleet({
    ...{ validity: '1h', upstream: (_, response) => response.end() },
    registrars: ['registrar', 'agent'],
  });
  try {
    // 1. a certificate for each, those that end soon last
    const key = stormKey();
    const registrar = await fleet.workload('registrar', { isStatic: true });
    const { authorityUrl: url, authorityPid: pid } = fleet;
    const orders = authorityClient({
      ...{ url, clock: systemClock, svids: registrar, bundles: registrar, timeoutMs: 60_000 },
    });
    const csrs = await Promise.all(Array.from({ length: 500 }, request));
    const agents = await enrolAll(orders, key, agentCount, () => 'agent');
    const hastyCount = Math.floor(alone / hastyEach);
    const patient = await enrolAll(orders, key, alone - hastyCount, (i) => `patient-${i}`);
    const hasty = await enrolAll(orders, key, hastyCount, (i) => `hasty-${i}`, hastyTtlMs);
    // 2. the outage ends
    const client = new StormClient(url, key, patient.rest);
    const storm = new Storm(client, systemClock.monotonic() + giveUpMs);
    const before = threadCpu(pid);
    const began = systemClock.monotonic();
    const soon = () => Math.random() * withinMs;
    // Whoever is not down for good comes while its certificate holds.
    const sooner = () => Math.random() * Math.min(withinMs, hastyTtlMs / 2);
    const some = (i: number) => csrs[i % csrs.length] ?? '';
    const batch = (i: number) => Array.from({ length: eachAgent }, (_, n) => some(i + 7 * n));
    await Promise.all([
      ...patient.workloads.map((each, i) => storm.renew(each, soon(), () => renewal(some(i)))),
      ...hasty.workloads.map((each, i) =>
        storm.renew(each, sooner(), () => renewal(some(i)), true),
      ),
      ...agents.workloads.map((each, i) => storm.renew(each, soon(), () => batchOf(batch(i), i))),
    ]);
    const tookMs = systemClock.monotonic() - began;
    const cpu = spentSince(before, pid).get('all') ?? 0;
    const behindAgents = agentCount * eachAgent;
    const workloads = alone + behindAgents;
    return {
      ...{ ...storm.figures(), workloads, behindAgents, agents: agentCount },
      ...{ allSeconds: tookMs / 1000, cpuMicros: cpu / workloads },
    };
  } finally {
    await fleet.end();
  }
}

class Storm {
  readonly #client: StormClient;
  readonly #overAt: number;
  readonly #waits: number[] = [];
  readonly #hastyWaits: number[] = [];
  readonly #counts = { sentAway: 0, mostOfOne: 0, failed: 0, lapsed: 0, unfinished: 0 };

  constructor(client: StormClient, overAt: number) {
    this.#client = client;
    this.#overAt = overAt;
  }

  figures() {
    const of = (waits: readonly number[], part: number) =>
      waits.toSorted((a, b) => a - b)[Math.floor(waits.length * part)] ?? 0;
    return {
      ...this.#counts,
      p50Ms: of(this.#waits, 0.5),
      p99Ms: of(this.#waits, 0.99),
      hastyP99Ms: of(this.#hastyWaits, 0.99),
    };
  }

  /** One caller, until it has what it asks for; waits as the library does. */
  async renew(
    workload: StormWorkload,
    firstWaitMs: number,
    request: () => Buffer,
    isHasty = false,
  ): Promise<void> {
    const { notAfter } = workload;
    const counts = this.#counts;
    let waitMs = firstWaitMs;
    let began: number | undefined;
    for (let failures = 0, away = 0; ; ) {
      await systemClock.sleep(Math.min(waitMs, this.#overAt - systemClock.monotonic()));
      const asked = systemClock.monotonic();
      began ??= asked;
      if (asked >= this.#overAt) {
        counts.unfinished += 1;
        return;
      }
      const answer = await this.#client.ask(workload, request());
      const leftMs = notAfter - systemClock.now();
      if (answer.status === 200) {
        const tookMs = systemClock.monotonic() - began;
        this.#waits.push(tookMs);
        if (isHasty) this.#hastyWaits.push(tookMs);
        if (leftMs < 0) counts.lapsed += 1;
        return;
      }
      failures += 1;
      const wasSentAway = answer.status === 503 && answer.retryAfterS > 0;
      if (wasSentAway) {
        away += 1;
        counts.sentAway += 1;
        counts.mostOfOne = Math.max(counts.mostOfOne, away);
        waitMs = turnWaitMs(answer.retryAfterS * 1000, leftMs, Math.random);
      } else {
        counts.failed += 1;
        waitMs = retryWaitMs(failures, leftMs, backoff, Math.random);
      }
    }
  }
}

interface Enrolled {
  readonly workloads: readonly StormWorkload[];
  /** What stands above all their leaves. */
  readonly rest: readonly Uint8Array[];
}

async function enrolAll(
  authority: AuthorityClient,
  key: KeyObject,
  count: number,
  nameOf: (index: number) => string,
  ttlMs?: number,
): Promise<Enrolled> {
  const csr = await buildCertificateRequest({ signer: keySigner(key), extensions: [] });
  const workloads: StormWorkload[] = [];
  let rest: readonly Uint8Array[] = [];
  const numbers = Array.from({ length: count }, (_, i) => i).values();
  async function orderBatches(): Promise<void> {
    for (;;) {
      const some = [...numbers.take(perBatch)];
      if (some.length === 0) return;
      const orders = some.map((i) => ({
        ...{ csr, own: false, spiffeId: idOf(nameOf(i)), dns: [], ip: [] },
        ...(ttlMs === undefined ? {} : { ttlMs }),
      }));
      const { results } = await authority.issueBatch({ orders });
      for (const result of results) {
        if (!result.ok) throw new Error(`no certificate for a workload: ${result.code}`);
        const [leaf, ...above] = result.chain;
        if (leaf === undefined) throw new Error('an answer without a certificate');
        workloads.push({ leaf, notAfter: result.notAfter });
        rest = above;
      }
    }
  }
  await Promise.all(Array.from({ length: 4 }, orderBatches));
  return { workloads, rest };
}

/** PKCS #10 in base64. */
async function request(): Promise<string> {
  return toBase64((await makeOwnRequest({ type: 'EC', curve: 'P-256' })).csr);
}

function renewal(csr: string): Buffer {
  return post('/v1/renew', { csr });
}

function batchOf(csrs: readonly string[], agent: number): Buffer {
  const orders = csrs.map((csr, i) => ({ csr, spiffeId: idOf(`ns/prod/sa/w-${agent}-${i}`) }));
  return post('/v1/issue/batch', { orders });
}

function post(path: string, message: object): Buffer {
  const body = JSON.stringify(message);
  return Buffer.from(
    [
      `POST ${path} HTTP/1.1`,
      'host: 127.0.0.1',
      'connection: close',
      'content-type: application/json',
      `content-length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
  );
}
