import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { httpsAgent, identity } from '@countersign/identity';
import { authorityYaml, id } from '../test/authority-files.ts';
import { bin } from '../test/countersign.ts';

export interface WayFigures {
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** Of the processes between the two programs, a request; undefined where there are none. */
  readonly cpuMicros: number | undefined;
}

export interface SidecarFigures {
  readonly perSecond: number;
  /** Plain HTTP, with nothing between. */
  readonly direct: WayFigures;
  /** Plain client → sidecar → mTLS → sidecar → plain upstream. */
  readonly sidecars: WayFigures;
  /** mTLS by the identity library in both programs. */
  readonly library: WayFigures;
}

const upstreamScript = fileURLToPath(new URL('./sidecar-upstream.ts', import.meta.url));

/** The same open-loop load on each way, one after the other, in one run. */
export async function measureSidecars({
  perSecond = 500,
  seconds = 8,
} = {}): Promise<SidecarFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const children: ChildProcess[] = [];
  const file = (name: string) => join(directory, name);
  const start = async (words: readonly string[]) => {
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(child);
    const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [
      Buffer,
    ];
    return { pid: child.pid ?? 0, said: String(line).trim().split(' ')[1] ?? '' };
  };
  const run = async (words: readonly string[]) => {
    const child = spawn(process.execPath, [bin, ...words], { stdio: 'ignore' });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`"${words.join(' ')}" ended with ${code}`);
  };
  try {
    await writeFile(file('ca.yaml'), authorityYaml());
    const state = ['--data', file('state')];
    await run(['init', '--config', file('ca.yaml'), ...state]);
    for (const name of ['shop', 'orders']) {
      await run(['issue', ...state, '--spiffe-id', id(name), '--out', file(name)]);
    }
    const ca = await start([
      ...[bin, 'ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'],
    ]);
    const plain = await start([upstreamScript]);
    const sidecar = async (name: string, yaml: string) => {
      await writeFile(file(`${name}.yaml`), `sidecar: { namespace: prod }\n${yaml}`);
      const words = ['--config', file(`${name}.yaml`), '--identity', file(name), '--ca', ca.said];
      const { pid, said } = await start([bin, 'sidecar', ...words]);
      return { pid, port: new URL(said).port };
    };
    const inbound = await sidecar(
      'orders',
      `inbound: [{ port: ${plain.said}, listen: { address: 127.0.0.1, port: 0 } }]`,
    );
    const outbound = await sidecar(
      'shop',
      `outbound:
  destinations:
    - { name: orders, upstream: "127.0.0.1:${inbound.port}", spiffeId: ${id('orders')}, listen: { port: 0 } }`,
    );
    const secured = await start([upstreamScript, file('orders')]);
    const load = { perSecond, seconds };
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    const me = await identity.open({ directory: file('shop'), renewal: 'others' });
    const secure = httpsAgent(me, { allow: [id('orders')], maxSockets: 16 });
    try {
      const askPlain = (port: string) => () => http.get({ host: '127.0.0.1', port, agent });
      const askSecure = () => https.get({ host: '127.0.0.1', port: secured.said, agent: secure });
      return {
        perSecond,
        direct: await measureWay(askPlain(plain.said), load, []),
        sidecars: await measureWay(askPlain(outbound.port), load, [inbound.pid, outbound.pid]),
        library: await measureWay(askSecure, load, []),
      };
    } finally {
      agent.destroy();
      secure.destroy();
      await me.stop();
    }
  } finally {
    for (const child of children) child.kill('SIGTERM');
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

async function measureWay(
  ask: () => http.ClientRequest,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
  between: readonly number[],
): Promise<WayFigures> {
  // As long again, at its pace: connections stand, and code is compiled.
  await pace(ask, perSecond, Math.min(seconds, 4));
  const before = cpuMicros(between);
  const took = await pace(ask, perSecond, seconds);
  const used = cpuMicros(between) - before;
  took.sort((a, b) => a - b);
  const at = (share: number) => took[Math.floor(took.length * share)] ?? Number.NaN;
  const cpu = between.length === 0 ? undefined : used / took.length;
  return { p50Micros: at(0.5), p99Micros: at(0.99), cpuMicros: cpu };
}

/** A request at each turn of the clock, whether those before are answered or not. @returns µs of each */
async function pace(ask: () => http.ClientRequest, perSecond: number, seconds: number) {
  const took: number[] = [];
  const underWay: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let i = 0; i < perSecond * seconds; i += 1) {
    const due = startedAt + (i * 1000) / perSecond;
    while (performance.now() < due) await wait(Math.max(0, due - performance.now() - 1));
    underWay.push(one(ask, took));
  }
  await Promise.all(underWay);
  return took;
}

async function one(ask: () => http.ClientRequest, took: number[]): Promise<void> {
  const startedAt = performance.now();
  const [answer] = (await once(ask(), 'response')) as [http.IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
  await once(answer.resume(), 'end');
  took.push((performance.now() - startedAt) * 1000);
}

/** User and system time of whole processes, from /proc in ticks of 10 ms. */
function cpuMicros(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) * 10_000;
  }, 0);
}
