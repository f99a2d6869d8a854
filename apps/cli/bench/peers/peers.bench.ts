import { readdirSync, readFileSync } from 'node:fs';
import { systemClock } from '@countersign/base';
import { threadCpu } from '../thread-cpu.ts';
import { type AfterRevocation, afterRevocation } from './after-revocation.ts';
import {
  fullHandshakes,
  keptAlive,
  type Latencies,
  type OpenCaller,
  openCaller,
  paced,
  resumedHandshakes,
} from './caller.ts';
import { openPeerWorld, type PeerWorld } from './peer-world.ts';
import { type PeerProxy, proxies, type RunningProxy } from './proxies.ts';

/** What one proxy costs: CPU of all its processes, the callers and the service behind it not counted. */
export interface PeerFigures {
  readonly fullMicros: number;
  readonly resumedMicros: number;
  /** How many of the second kind were resumed indeed, from 0 to 1. */
  readonly resumed: number;
  readonly keptMicros: number;
  /** At 1,000 requests a second. */
  readonly latency: Latencies;
  /** Of memory for each idle connection. */
  readonly idleKib: number;
}

export interface Peer {
  readonly name: string;
  /** Why it is not measured. */
  readonly missing?: string | undefined;
  readonly figures?: PeerFigures;
  readonly revocation?: AfterRevocation & { readonly reloadedBy: string };
}

export interface PeersOptions {
  readonly rounds: number;
  /** Handshakes of each kind and requests a round. */
  readonly handshakes: number;
  readonly requests: number;
  readonly idle: number;
  readonly tell: (progress: string) => void;
}

/**
 * Every proxy that this machine has, in one run and turn by turn, so that a noisy minute is everybody's. Each does the
 * same: mTLS on both sides, an identity rule, an identity header, an access log and a revocation list.
 */
export async function measurePeers(options: PeersOptions): Promise<Peer[]> {
  const world = await openPeerWorld();
  try {
    const peers: Peer[] = [];
    const running: { proxy: PeerProxy; at: RunningProxy }[] = [];
    const started: RunningProxy[] = [];
    try {
      for (const proxy of proxies.filter(({ isSecondWay }) => isSecondWay !== true)) {
        if (proxy.missing !== undefined) continue;
        const at = await proxy.start(world);
        started.push(at);
        running.push({ proxy, at });
      }
      const all = await costsOf(world, running, options);
      for (const [index, { proxy }] of running.entries()) {
        peers.push({ name: proxy.name, figures: all[index] as PeerFigures });
      }
    } finally {
      for (const at of started) await at.end();
    }
    for (const proxy of proxies) {
      options.tell(`${proxy.name}: a revoked caller and its twin`);
      const { name, missing, reloadedBy } = proxy;
      const revocation =
        missing === undefined ? { ...(await revocationOf(world, proxy)), reloadedBy } : undefined;
      const at = peers.findIndex((peer) => peer.name === name);
      const shown = { name, missing, ...(revocation !== undefined && { revocation }) };
      if (at === -1) peers.push(shown);
      else peers[at] = { ...peers[at], ...shown };
    }
    return peers;
  } finally {
    await world.end();
  }
}

async function revocationOf(world: PeerWorld, proxy: PeerProxy): Promise<AfterRevocation> {
  await world.revoke([]);
  const at = await proxy.start(world);
  try {
    return await afterRevocation(world, at);
  } finally {
    await at.end();
  }
}

async function costsOf(
  world: PeerWorld,
  running: readonly { proxy: PeerProxy; at: RunningProxy }[],
  { rounds, handshakes, requests, idle, tell }: PeersOptions,
): Promise<PeerFigures[]> {
  const { alice } = world.callers;
  const seen = running.map(() => ({
    full: [] as number[],
    resumed: [] as number[],
    share: 0,
    kept: [] as number[],
    p50: [] as number[],
    p99: [] as number[],
    idleKib: 0,
  }));
  // The first round warms up, and is not counted.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, { proxy, at }] of running.entries()) {
      tell(`round ${round} of ${rounds}: ${proxy.name}`);
      const figures = seen[index] as (typeof seen)[number];
      const full = await cpuOf(at, () => fullHandshakes(at.port, alice, handshakes));
      const resumed = await cpuOf(at, async () => {
        figures.share = await resumedHandshakes(at.port, alice, handshakes);
      });
      const callers = await Promise.all(
        Array.from({ length: 16 }, () => openCaller(at.port, alice)),
      );
      await keptAlive(callers, callers.length);
      const kept = await cpuOf(at, () => keptAlive(callers, requests));
      const latency = await paced(callers, { perSecond: 1000, seconds: 3 });
      await Promise.all(callers.map((caller) => caller.close()));
      if (round === 0) continue;
      figures.full.push(full / handshakes);
      figures.resumed.push(resumed / handshakes);
      figures.kept.push(kept / requests);
      figures.p50.push(latency.p50Micros);
      figures.p99.push(latency.p99Micros);
    }
  }
  for (const [index, { proxy, at }] of running.entries()) {
    tell(`${idle} idle connections: ${proxy.name}`);
    (seen[index] as (typeof seen)[number]).idleKib = await idleMemory(world, at, idle);
  }
  return seen.map(({ full, resumed, share, kept, p50, p99, idleKib }) => ({
    fullMicros: median(full),
    resumedMicros: median(resumed),
    resumed: share,
    keptMicros: median(kept),
    latency: { p50Micros: median(p50), p99Micros: median(p99) },
    idleKib,
  }));
}

/** Held open, each after one request, as a pool of callers would. */
async function idleMemory(
  { callers: { alice } }: PeerWorld,
  at: RunningProxy,
  count: number,
): Promise<number> {
  const before = residentKib(at.pid);
  const open: OpenCaller[] = [];
  try {
    while (open.length < count) {
      const more = await Promise.all(
        Array.from({ length: Math.min(20, count - open.length) }, async () => {
          const caller = await openCaller(at.port, alice);
          await caller.ask();
          return caller;
        }),
      );
      open.push(...more);
    }
    // What a collector has not taken back yet is not the connections'.
    await systemClock.sleep(3000);
    return (residentKib(at.pid) - before) / count;
  } finally {
    await Promise.all(open.map((caller) => caller.close()));
  }
}

async function cpuOf(at: RunningProxy, work: () => Promise<unknown>): Promise<number> {
  const before = cpuMicros(at.pid);
  await work();
  return cpuMicros(at.pid) - before;
}

/** Of a process and those that it started. Linux alone. */
function cpuMicros(pid: number): number {
  return familyOf(pid).reduce((sum, each) => sum + (threadCpu(each).get('all') ?? 0), 0);
}

function residentKib(pid: number): number {
  return familyOf(pid).reduce((sum, each) => {
    const status = readFileSync(`/proc/${each}/status`, 'utf8');
    return sum + Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? '0');
  }, 0);
}

function familyOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  );
  return [pid, ...children.flatMap((child) => familyOf(Number(child)))];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
