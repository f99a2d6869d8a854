import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FetchFigures {
  /** Of the agent's CPU, a fetch of an X.509-SVID. */
  readonly cpuMicros: number;
  /** The same by a gRPC server that answers the same to everybody. */
  readonly floorMicros: number;
  /** Both again, each fetch on a connection of its own, as a command that is run makes it. */
  readonly connectedMicros: number;
  readonly connectedFloorMicros: number;
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

const fetches = 4000;
const warmUp = 1000;

/** One fetch after the other: over one connection, and each over its own. */
export async function measureFetch(): Promise<FetchFigures> {
  const agent = await withServer('agent', fetchMany);
  const floor = await withServer('floor', fetchMany);
  return {
    ...agent,
    floorMicros: floor.cpuMicros,
    connectedMicros: await withServer('agent', connectMany),
    connectedFloorMicros: await withServer('floor', connectMany),
  };
}

/** As many workloads, each with a connection of its own and a stream that stays. */
export async function measureStreams(streams = 1000): Promise<StreamFigures> {
  return withServer('agent', async (socket, child) => {
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

async function fetchMany(socket: string, child: ChildProcess) {
  const session = openSession(socket);
  try {
    for (let i = 0; i < warmUp; i += 1) await fetchOnce(session);
    const before = await usageOf(child);
    const times: number[] = [];
    for (let i = 0; i < fetches; i += 1) {
      const started = performance.now();
      await fetchOnce(session);
      times.push(performance.now() - started);
    }
    const after = await usageOf(child);
    times.sort((a, b) => a - b);
    return {
      cpuMicros: (after.cpuMicros - before.cpuMicros) / fetches,
      p50Ms: times[Math.floor(fetches * 0.5)] ?? 0,
      p99Ms: times[Math.floor(fetches * 0.99)] ?? 0,
    };
  } finally {
    session.destroy();
  }
}

async function connectMany(socket: string, child: ChildProcess): Promise<number> {
  const connections = 1500;
  for (let i = 0; i < warmUp; i += 1) await connectOnce(socket);
  const before = await usageOf(child);
  for (let i = 0; i < connections; i += 1) await connectOnce(socket);
  const after = await usageOf(child);
  return (after.cpuMicros - before.cpuMicros) / connections;
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

async function withServer<T>(
  kind: 'agent' | 'floor',
  work: (socket: string, child: ChildProcess) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const socket = join(directory, 'agent.sock');
  const child = fork(join(import.meta.dirname, 'agent-process.ts'), [kind, socket]);
  try {
    await once(child, 'message');
    return await work(socket, child);
  } finally {
    child.disconnect();
    await once(child, 'exit');
    rmSync(directory, { recursive: true });
  }
}
