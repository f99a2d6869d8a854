import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeIdentity } from '@countersign/identity';
import { CertificateAuthority } from '@countersign/provider';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { Agent, request } from 'undici';

export interface QueryFigures {
  /** CPU of the router's process for one query, in µs; undefined where the router is not installed. */
  readonly three: number | undefined;
  readonly one: number | undefined;
}

export interface RouterFigures {
  readonly ours: QueryFigures;
  /** With every operation and fetch a span that is exported. */
  readonly traced: QueryFigures;
  readonly hive: QueryFigures;
}

/** Where `.ci/foreign-tools` puts what only measurements use. */
const foreign = join(homedir(), '.cache', 'countersign-foreign', 'hive');
const subgraphNames = ['orders', 'customers', 'cities'] as const;

const sdl: Readonly<Record<(typeof subgraphNames)[number], string>> = {
  orders: 'type Query { order: Order } type Order @key(fields: "id") { id: ID! total: Int }',
  customers:
    'extend type Order @key(fields: "id") { id: ID! @external customer: Customer } ' +
    'type Customer @key(fields: "id") { id: ID! name: String }',
  cities: 'extend type Customer @key(fields: "id") { id: ID! @external city: String }',
};

const queries = {
  three: '{ order { id total customer { name city } } }',
  one: '{ order { id total } }',
} as const;

/**
 * CPU of a router process for a query whose three fetches follow each other, and for one of a single fetch, with mTLS on
 * every hop, subgraphs whose answers are constant, in-flight deduplication off and the access log on. Ours beside the
 * Hive runtime with its native planner, in one run.
 */
export async function measureRouterQuery(count = 3000): Promise<RouterFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'router-bench-'));
  const children: ChildProcess[] = [];
  try {
    const place = await openPlace(directory, children);
    const ours = await figuresOf(place, await startOurs(place, children), count);
    const traced = await figuresTraced(place, children, count);
    const hive = await startHive(place, children);
    const none = { three: undefined, one: undefined };
    return { ours, traced, hive: hive === undefined ? none : await figuresOf(place, hive, count) };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await rm(directory, { recursive: true });
  }
}

interface Place {
  readonly directory: string;
  readonly agent: Agent;
  readonly urls: readonly string[];
}

interface Served {
  readonly url: string;
  readonly pid: number;
}

async function openPlace(directory: string, children: ChildProcess[]): Promise<Place> {
  const ca = await CertificateAuthority.ephemeral({ trustDomain: 'example.org' });
  await ca.exportTrustBundle(join(directory, 'bundle.pem'));
  for (const serviceName of ['router', 'client', ...subgraphNames]) {
    const identity = await ca.issue({ serviceName, namespace: 'default', ttlSecs: 86_400 });
    const own = join(directory, serviceName);
    await mkdir(own);
    await writeIdentity(own, identity);
    if (serviceName === 'client')
      await writeFile(join(directory, 'client.key'), encodePrivateKey(identity.svid.privateKey));
    if (serviceName === 'client')
      await writeFile(
        join(directory, 'client.pem'),
        encodePem('CERTIFICATE', identity.svid.leaf.raw),
      );
  }
  const worker = fork(fileURLToPath(new URL('./constant-subgraphs.ts', import.meta.url)), [
    directory,
  ]);
  children.push(worker);
  const [{ ports }] = (await once(worker, 'message')) as [{ ports: number[] }];
  const key = await readFile(join(directory, 'client.key'));
  const cert = await readFile(join(directory, 'client.pem'));
  const agent = new Agent({ connections: 8, connect: { key, cert, rejectUnauthorized: false } });
  return { directory, agent, urls: ports.map((port) => `https://localhost:${port}/graphql`) };
}

/** A collector that takes everything, in this process. */
async function figuresTraced(place: Place, children: ChildProcess[], count: number) {
  const collector = createServer((incoming, response) => {
    incoming.resume().once('end', () => response.end());
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as { port: number };
  const yaml = `telemetry: { otlp: { endpoint: "http://127.0.0.1:${port}" } }`;
  try {
    return await figuresOf(place, await startOurs(place, children, yaml), count);
  } finally {
    collector.closeAllConnections();
    collector.close();
  }
}

async function startOurs(
  { directory, urls }: Place,
  children: ChildProcess[],
  yaml = '',
): Promise<Served> {
  const entries = subgraphNames.map(
    (name, i) => `  - { name: ${name}, url: "${urls[i]}", schema: ${name}.graphql }`,
  );
  for (const name of subgraphNames) await writeFile(join(directory, `${name}.graphql`), sdl[name]);
  await writeFile(
    join(directory, 'router.yaml'),
    `listen: { port: 0, client_mtls: required }
mtls: { trust_domain: example.org }
authority: { identity: router }
deduplicate: false
subgraphs:
${entries.join('\n')}
${yaml}
`,
  );
  const command = fileURLToPath(new URL('../bin/countersign.js', import.meta.url));
  return await served(
    spawn(process.execPath, [command, 'router', '--config', join(directory, 'router.yaml')]),
    children,
  );
}

/** The Hive runtime with its native planner over the same supergraph; undefined where it is not installed. */
async function startHive({ directory, urls }: Place, children: ChildProcess[]) {
  if (!existsSync(join(foreign, 'node_modules', '@graphql-hive', 'gateway-runtime')))
    return undefined;
  const script = fileURLToPath(new URL('./foreign/hive-runtime.ts', import.meta.url));
  const services = subgraphNames.map((name, i) => ({ name, url: urls[i], sdl: sdl[name] }));
  await writeFile(join(directory, 'services.json'), JSON.stringify(services));
  return await served(spawn(process.execPath, [script, foreign, directory]), children);
}

async function served(child: ChildProcess, children: ChildProcess[]): Promise<Served> {
  children.push(child);
  // Logs are written, and read by somebody, as in production.
  child.stderr?.resume();
  let text = '';
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    const url = /ready (\S+)/.exec(text)?.[1];
    if (url !== undefined) return { url, pid: child.pid ?? 0 };
  }
  throw new Error(`a router ended before it was ready: ${text}`);
}

async function figuresOf(
  { agent }: Place,
  { url, pid }: Served,
  count: number,
): Promise<QueryFigures> {
  const figure = async (query: string) => {
    const body = JSON.stringify({ query });
    const ask = async () => {
      const response = await request(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body,
        dispatcher: agent,
      });
      const text = await response.body.text();
      if (text.includes('"errors"') || !text.includes('"data"')) throw new Error(text);
    };
    const run = async (times: number) => {
      const loop = async () => {
        for (let i = 0; i < times / 8; i += 1) await ask();
      };
      await Promise.all(Array.from({ length: 8 }, loop));
    };
    await run(count);
    const before = await cpuMicros(pid);
    await run(count);
    return ((await cpuMicros(pid)) - before) / count;
  };
  return { three: await figure(queries.three), one: await figure(queries.one) };
}

/** User and system time of a process so far; Linux counts it in hundredths of a second. */
async function cpuMicros(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
