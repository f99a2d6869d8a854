import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  pebbleMissing,
  startPebble,
  startStepCa,
  startTestDns,
  stepCaMissing,
} from '@countersign/testkit';
import { parseCaConfig } from '../src/ca-config.ts';
import { initAuthority } from '../src/init-authority.ts';
import { type AcmePlace, OrderingClients } from '../test/acme-orders.ts';

export interface AcmeFigures {
  readonly ours: OrderFigures;
  /** Undefined: it is not here. */
  readonly pebble: OrderFigures | undefined;
  readonly stepCa: OrderFigures | undefined;
}

export interface OrderFigures {
  /** Of the best round: from the first order asked for to the last certificate. */
  readonly ordersPerSecond: number;
  /** Of the server's process, all its threads, of the best round. */
  readonly cpuMicrosEach: number;
}

/** A server that takes orders. */
interface Taker {
  readonly pid: number;
  readonly clients: OrderingClients;
  readonly rounds: OrderFigures[];
  close(): Promise<void>;
}

const rounds = 3;
const ordersEach = 100;
const atOnce = 16;

/**
 * Full orders by http-01 with a responder on this machine: order, authorization, challenge, finalisation, certificate, by
 * the same clients at each server, in turns. Ours syncs each commit to its SQLite file, step-ca writes to Badger, Pebble
 * keeps everything in memory.
 */
export async function measureAcme(): Promise<AcmeFigures> {
  const pages = new Map<string, string>();
  const started: Taker[] = [];
  const begin = async (start: (pages: Map<string, string>) => Promise<Taker>): Promise<Taker> => {
    const taker = await start(pages);
    started.push(taker);
    return taker;
  };
  try {
    const ours = await begin(startOurs);
    const pebble = pebbleMissing() === false ? await begin(startTheirPebble) : undefined;
    const stepCa = stepCaMissing() === false ? await begin(startTheirStepCa) : undefined;
    for (let round = 0; round < rounds; round += 1) {
      for (const taker of started) await takeOrders(taker, round);
    }
    return {
      ...{ ours: bestOf(ours), pebble: pebble && bestOf(pebble) },
      stepCa: stepCa && bestOf(stepCa),
    };
  } finally {
    for (const taker of started) await taker.close();
  }
}

function bestOf({ rounds: measured }: Taker): OrderFigures {
  return {
    ordersPerSecond: Math.max(...measured.map((each) => each.ordersPerSecond)),
    cpuMicrosEach: Math.min(...measured.map((each) => each.cpuMicrosEach)),
  };
}

async function takeOrders({ pid, clients, rounds: measured }: Taker, round: number): Promise<void> {
  // An account for each client: step-ca fails where two orders of one account are made at once.
  const accounts = await Promise.all(Array.from({ length: atOnce }, () => clients.account()));
  const before = cpuMicros(pid);
  const startedAt = performance.now();
  let next = 0;
  const work = async (account: (typeof accounts)[number]) => {
    while (next < ordersEach) {
      next += 1;
      const outcome = await clients.order(account, `r${round}n${next}.orders.test`);
      if (outcome.end !== 'valid') throw new Error(outcome.problem);
    }
  };
  await Promise.all(accounts.map(work));
  const seconds = (performance.now() - startedAt) / 1000;
  measured.push({
    ordersPerSecond: ordersEach / seconds,
    cpuMicrosEach: (cpuMicros(pid) - before) / ordersEach,
  });
}

async function startOurs(pages: Map<string, string>): Promise<Taker> {
  const home = mkdtempSync(join(tmpdir(), 'countersign-acme-bench-'));
  const dns = await startTestDns();
  const website = await serveChallenges(pages);
  const yaml = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates:
  san_policies: { require_spiffe: false, spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.test"] }
acme:
  challenges: [http-01]
  limits: { accounts_per_hour: 0, orders_per_hour: 0 }
  validation: { http_port: ${website.port}, resolvers: ["${dns.address}"], allow: [127.0.0.0/8] }
`;
  const file = join(home, 'ca.yaml');
  const data = join(home, 'state');
  writeFileSync(file, yaml);
  const config = parseCaConfig(yaml, file);
  const shared = { clock: systemClock, log: noLog, meter: noMeter };
  await initAuthority({ config, data, configText: yaml, ...shared });
  const program = fileURLToPath(new URL('../test/serve-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, file, data], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data');
  const place = { ...(await placeOf(Number(String(said).split(' ')[1]), '/acme/directory')) };
  const clients = new OrderingClients([place.port], pages, place);
  return {
    ...{ pid: child.pid ?? 0, clients, rounds: [] },
    async close() {
      clients.close();
      child.kill('SIGTERM');
      await once(child, 'exit');
      website.close();
      await dns.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function startTheirPebble(pages: Map<string, string>): Promise<Taker> {
  const website = await serveChallenges(pages);
  const pebble = await startPebble({ isEasy: true, httpPort: website.port });
  const place = await placeOf(Number(new URL(pebble.url).port), '/dir');
  const clients = new OrderingClients([place.port], pages, place);
  return {
    ...{ pid: pebble.pid, clients, rounds: [] },
    async close() {
      clients.close();
      website.close();
      await pebble.stop();
    },
  };
}

async function startTheirStepCa(pages: Map<string, string>): Promise<Taker> {
  const dns = await startTestDns();
  const website = await serveChallenges(pages);
  const words = ['--insecure', '--acme-http-port', String(website.port), '--resolver', dns.address];
  const stepCa = await startStepCa(words);
  const place = await placeOf(Number(new URL(stepCa.url).port), '/acme/acme/directory');
  const clients = new OrderingClients([place.port], pages, place);
  return {
    ...{ pid: stepCa.pid, clients, rounds: [] },
    async close() {
      clients.close();
      website.close();
      await stepCa.stop();
      await dns.close();
    },
  };
}

async function placeOf(port: number, directory: string): Promise<AcmePlace & { port: number }> {
  const unknown = { host: 'localhost', newNonce: '', newAccount: '', newOrder: '', pollMs: 20 };
  const asking = new OrderingClients([port], new Map(), unknown);
  const { body } = await asking.patiently(port, directory);
  asking.close();
  const path = (name: string) => new URL(body[name]).pathname;
  return {
    ...{ ...unknown, port, newNonce: path('newNonce') },
    ...{ newAccount: path('newAccount'), newOrder: path('newOrder') },
  };
}

async function serveChallenges(pages: Map<string, string>) {
  const server = createServer((asked, answer) => answer.end(pages.get(asked.url ?? '')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** The first field: nanoseconds on a CPU. Of all its threads, those that ended not counted. */
function cpuMicros(pid: number): number {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  }
  return sum;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(JSON.stringify(await measureAcme(), undefined, 2));
}
