import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** CPU of a server for one fetch of an X.509-SVID, in microseconds: the best of several rounds. */
export interface FetchCost {
  /** Over a connection that is open. */
  readonly openMicros: number;
  /** Over a connection of its own, as a command that is run makes it. */
  readonly connectedMicros: number;
}

export interface FetchFigures {
  readonly agent: FetchCost;
  /** The floor: a bare HTTP/2 server of Node that gives everybody the same bytes. */
  readonly bare: FetchCost;
  /** A server of `@grpc/grpc-js` that does no more. */
  readonly grpc: FetchCost;
  /** Over a connection of its own, the middle round. */
  readonly middleMicros: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface StreamFigures {
  readonly streams: number;
  /** From the order to renew until the last stream had its new SVID. */
  readonly allMs: number;
  readonly p50Ms: number;
  /** Of the agent's process, all streams open. */
  readonly rssMegabytes: number;
}

const rounds = 7;
const perRound = 700;

/** One fetch after the other, over one connection and each over its own, at the three servers in turns. */
export async function measureFetch(): Promise<FetchFigures> {
  const times: number[] = [];
  return withServer('agent', (agent) =>
    withServer('bare', (bare) =>
      withServer('grpc', async (grpc) => {
        const spent = [agent, bare, grpc].map(() => ({
          open: [] as number[],
          connected: [] as number[],
        }));
        // The first round is for code that has not run yet.
        for (let round = -1; round < rounds; round += 1) {
          for (const [i, served] of [agent, bare, grpc].entries()) {
            const open = await cpuOf(served, () => fetchMany(served, i === 0 ? times : []));
            const connected = await cpuOf(served, () => connectMany(served));
            if (round < 0) times.length = 0;
            else spent[i]?.open.push(open);
            if (round >= 0) spent[i]?.connected.push(connected);
          }
        }
        const best = (i: number) => ({
          openMicros: Math.min(...(spent[i]?.open ?? [])),
          connectedMicros: Math.min(...(spent[i]?.connected ?? [])),
        });
        times.sort((a, b) => a - b);
        const sorted = spent[0]?.connected.toSorted((a, b) => a - b);
        return {
          ...{ agent: best(0), bare: best(1), grpc: best(2) },
          middleMicros: sorted?.[Math.floor(rounds / 2)] ?? 0,
          p50Ms: times[Math.floor(times.length * 0.5)] ?? 0,
          p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
        };
      }),
    ),
  );
}

/** As many workloads, each with a connection of its own and a stream that stays. */
export async function measureStreams(streams = 1000): Promise<StreamFigures> {
  return withServer('agent', async ({ socket, child }) => {
    const sessions: ClientHttp2Session[] = [];
    const arrived: (() => void)[] = [];
    try {
      for (let i = 0; i < streams; i += 1) {
        const session = openSession(socket);
        sessions.push(session);
        const stream = call(session);
        await once(stream, 'data');
        stream.on('data', () => arrived[i]?.());
      }
      const started = performance.now();
      const times: number[] = [];
      const all = Promise.all(
        sessions.map(
          (_, i) =>
            new Promise<void>((resolve) => {
              arrived[i] = () => {
                arrived[i] = () => {};
                times.push(performance.now() - started);
                resolve();
              };
            }),
        ),
      );
      child.send('renew');
      await all;
      const { rss } = await usageOf(child);
      times.sort((a, b) => a - b);
      return {
        streams,
        allMs: times.at(-1) ?? 0,
        p50Ms: times[Math.floor(times.length / 2)] ?? 0,
        rssMegabytes: rss / 1e6,
      };
    } finally {
      for (const session of sessions) session.destroy();
    }
  });
}

async function cpuOf({ child }: Served, work: () => Promise<void>): Promise<number> {
  const before = await usageOf(child);
  await work();
  const after = await usageOf(child);
  return (after.cpuMicros - before.cpuMicros) / perRound;
}

async function fetchMany({ socket }: Served, times: number[]): Promise<void> {
  const session = openSession(socket);
  try {
    for (let i = 0; i < perRound; i += 1) {
      const started = performance.now();
      await fetchOnce(session);
      times.push(performance.now() - started);
    }
  } finally {
    session.destroy();
  }
}

async function connectMany({ socket }: Served): Promise<void> {
  for (let i = 0; i < perRound; i += 1) await connectOnce(socket);
}

async function connectOnce(socket: string): Promise<void> {
  const session = openSession(socket);
  await once(call(session), 'data');
  session.destroy();
}

async function fetchOnce(session: ClientHttp2Session): Promise<void> {
  const stream = call(session);
  await once(stream, 'data');
  stream.close();
  await once(stream, 'close');
}

function openSession(socket: string): ClientHttp2Session {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) });
  session.on('error', () => {});
  return session;
}

function call(session: ClientHttp2Session) {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true',
  });
  stream.on('error', () => {});
  stream.end(Buffer.alloc(5));
  return stream;
}

async function usageOf(child: ChildProcess): Promise<{ rss: number; cpuMicros: number }> {
  const answer = once(child, 'message');
  child.send('usage');
  const [usage] = await answer;
  return usage as { rss: number; cpuMicros: number };
}

interface Served {
  readonly socket: string;
  readonly child: ChildProcess;
}

async function withServer<T>(
  kind: 'agent' | 'bare' | 'grpc',
  work: (served: Served) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const socket = join(directory, 'agent.sock');
  const child = fork(join(import.meta.dirname, 'agent-process.ts'), [kind, socket]);
  try {
    await once(child, 'message');
    return await work({ socket, child });
  } finally {
    child.disconnect();
    await once(child, 'exit');
    rmSync(directory, { recursive: true });
  }
}
