import { once } from 'node:events';
import tls from 'node:tls';
import { systemClock } from '@countersign/base';
import { type CallerTls, serverName } from './peer-world.ts';

const asking = Buffer.from(
  `GET /orders/7 HTTP/1.1\r\nHost: ${serverName}\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n`,
);

/** One connection to a proxy, and requests on it one after the other. */
export interface OpenCaller {
  /** The status; 0 where the connection ended instead. */
  ask(): Promise<number>;
  readonly isOpen: boolean;
  readonly isResumed: boolean;
  /** What resumes it; undefined while none was told. */
  readonly session: Buffer | undefined;
  close(): Promise<void>;
}

/**
 * As little work as a client can do: an answer is read as far as its length. With TLS 1.3 a proxy that refuses the
 * certificate is noticed by the first request.
 *
 * @param session resumes one that was open before
 */
export async function openCaller(
  port: number,
  identity: CallerTls,
  session?: Buffer,
): Promise<OpenCaller> {
  const socket = tls.connect({
    ...{ ...identity, host: '127.0.0.1', port, servername: serverName },
    ...(session !== undefined && { session }),
  });
  let told = session;
  socket.on('session', (fresh: Buffer) => {
    told = fresh;
  });
  let received = '';
  let answered: ((status: number) => void) | undefined;
  const answer = (status: number): void => {
    const waiting = answered;
    answered = undefined;
    received = '';
    waiting?.(status);
  };
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    const head = received.indexOf('\r\n\r\n');
    if (head === -1) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(received)?.[1] ?? '0');
    if (received.length >= head + 4 + length) answer(Number(received.slice(9, 12)));
  });
  socket.on('error', () => {});
  socket.on('close', () => answer(0));
  await Promise.race([once(socket, 'secureConnect').catch(() => {}), once(socket, 'close')]);
  return {
    ask() {
      if (socket.destroyed || !socket.writable) return Promise.resolve(0);
      return new Promise((resolve) => {
        answered = resolve;
        socket.write(asking);
      });
    },
    get isOpen() {
      return !socket.destroyed && socket.writable && !socket.readableEnded;
    },
    get isResumed() {
      return socket.isSessionReused();
    },
    get session() {
      return told;
    },
    async close() {
      if (socket.destroyed) return;
      const closed = once(socket, 'close');
      socket.destroy();
      await closed;
    },
  };
}

async function askWell(caller: OpenCaller): Promise<void> {
  const status = await caller.ask();
  if (status !== 200) throw new Error(`the proxy answered ${status} to a caller it should let in`);
}

async function lanes(count: number, concurrency: number, one: (lane: number) => Promise<void>) {
  let left = count;
  const lane = async (_: unknown, number: number): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await one(number);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

/** So many connections, each with a whole handshake and one request. */
export async function fullHandshakes(port: number, identity: CallerTls, count: number) {
  await lanes(count, 4, async () => {
    const caller = await openCaller(port, identity);
    await askWell(caller);
    await caller.close();
  });
}

/** The same with what the last connection was told. @returns how many of them were resumed, from 0 to 1 */
export async function resumedHandshakes(
  port: number,
  identity: CallerTls,
  count: number,
): Promise<number> {
  const sessions: (Buffer | undefined)[] = [];
  let resumed = 0;
  await lanes(count, 4, async (lane) => {
    const caller = await openCaller(port, identity, sessions[lane]);
    if (caller.isResumed) resumed += 1;
    await askWell(caller);
    sessions[lane] = caller.session;
    await caller.close();
  });
  return resumed / count;
}

/** Requests on connections that are kept. */
export async function keptAlive(callers: readonly OpenCaller[], count: number): Promise<void> {
  await lanes(count, callers.length, (lane) => askWell(callers[lane] as OpenCaller));
}

export interface Latencies {
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** Requests at a steady pace, whether or not those before were answered; each counts from when it was due. */
export async function paced(
  callers: readonly OpenCaller[],
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<Latencies> {
  const free = [...callers];
  const waiting: ((caller: OpenCaller) => void)[] = [];
  const took: number[] = [];
  const asked: Promise<void>[] = [];
  const start = systemClock.monotonic();
  const one = async (due: number): Promise<void> => {
    const caller = free.pop() ?? (await new Promise<OpenCaller>((got) => waiting.push(got)));
    await askWell(caller);
    took.push(systemClock.monotonic() - due);
    const next = waiting.shift();
    if (next === undefined) free.push(caller);
    else next(caller);
  };
  for (let sent = 0; sent < perSecond * seconds; ) {
    const now = systemClock.monotonic();
    for (; sent < perSecond * seconds && start + (sent * 1000) / perSecond <= now; sent += 1) {
      asked.push(one(start + (sent * 1000) / perSecond));
    }
    // A timer of a millisecond would be late by one.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(asked);
  took.sort((a, b) => a - b);
  const at = (share: number) => (took[Math.floor(took.length * share)] ?? Number.NaN) * 1000;
  return { p50Micros: at(0.5), p99Micros: at(0.99) };
}
