import type { TLSSocket } from 'node:tls';
import { systemClock, toBase64 } from '@countersign/base';
import { makeOwnRequest, type RotatingIdentity, turnWaitMs } from '@countersign/identity';
import { dialMtls, expectSpiffeId } from '@countersign/mtls';
import { type Fleet, idOf, startFleet } from '../test/fleet.ts';
import { spentSince, threadCpu } from './thread-cpu.ts';

export interface StormFigures {
  readonly workloads: number;
  readonly connections: number;
  /** From the end of the outage until the last workload had its certificate. */
  readonly allSeconds: number;
  readonly perSecond: number;
  /** Requests that were answered 503 with Retry-After, and the most that one workload met. */
  readonly sentAway: number;
  readonly mostOfOne: number;
  /** Answers that were neither a certificate nor 503 with Retry-After, connections that broke included. */
  readonly failed: number;
  /** Workloads whose certificate ended before the new one came. */
  readonly lapsed: number;
  /** From a request to its answer, for those that brought a certificate. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
}

export interface StormOptions {
  readonly workloads?: number;
  readonly connections?: number;
  /** All of them come within this time: clients that were refused connections waited up to five minutes. */
  readonly withinMs?: number;
}

/**
 * A fleet whose authority was away for two hours: each workload is due and comes as its schedule has it. One in twenty
 * shows a certificate that ends within a minute and a half, all others within an hour. They share connections, since a
 * machine has no room for as many as there are workloads, and requests that were made before, since keys would be most of
 * the work.
 */
export async function measureStorm({
  workloads = 100_000,
  connections = 3000,
  withinMs = 30_000,
}: StormOptions = {}): Promise<StormFigures> {
  const fleet = await startFleet({ validity: '1h', upstream: (_, response) => response.end() });
  try {
    const bodies = await Promise.all(Array.from({ length: 500 }, renewal));
    const patient = await linesOf(fleet, 'patient', connections * 0.9, undefined);
    const hasty = await linesOf(fleet, 'hasty', connections * 0.1, 90_000);
    const storm = new Storm(bodies);
    const before = threadCpu(fleet.authorityPid);
    const began = systemClock.monotonic();
    const all = Array.from({ length: workloads }, (_, i) => {
      const isHasty = i % 20 === 0;
      const endsAt = began + (isHasty ? 85_000 : 3_500_000);
      return storm.renew(isHasty ? hasty : patient, endsAt, Math.random() * withinMs);
    });
    await Promise.all(all);
    const tookMs = systemClock.monotonic() - began;
    const cpu = spentSince(before, fleet.authorityPid).get('all') ?? 0;
    for (const line of [...patient.free, ...hasty.free]) line.destroy();
    const took = storm.took.toSorted((a, b) => a - b);
    return {
      ...{ workloads, connections },
      allSeconds: tookMs / 1000,
      perSecond: (workloads / tookMs) * 1000,
      sentAway: storm.sentAway,
      mostOfOne: storm.mostOfOne,
      failed: storm.failed,
      lapsed: storm.lapsed,
      p50Ms: took[Math.floor(took.length * 0.5)] ?? 0,
      p99Ms: took[Math.floor(took.length * 0.99)] ?? 0,
      cpuMicros: cpu / workloads,
    };
  } finally {
    await fleet.end();
  }
}

class Storm {
  readonly took: number[] = [];
  sentAway = 0;
  mostOfOne = 0;
  failed = 0;
  lapsed = 0;
  readonly #bodies: readonly Buffer[];
  #count = 0;

  constructor(bodies: readonly Buffer[]) {
    this.#bodies = bodies;
  }

  /** One workload, until it has its certificate; waits between attempts as the library does. */
  async renew(lines: Lines, endsAt: number, firstWaitMs: number): Promise<void> {
    let waitMs = firstWaitMs;
    for (let away = 0; ; away += 1) {
      await systemClock.sleep(waitMs);
      const taken = await lines.take();
      const line = taken.isOpen ? taken : await taken.again().catch(() => taken);
      const body = this.#bodies[this.#count++ % this.#bodies.length] ?? Buffer.alloc(0);
      const asked = systemClock.monotonic();
      const answer = await line.ask(body);
      lines.give(line);
      const now = systemClock.monotonic();
      if (answer.status === 200) {
        this.took.push(now - asked);
        if (now > endsAt) this.lapsed += 1;
        return;
      }
      this.mostOfOne = Math.max(this.mostOfOne, away + 1);
      if (answer.status === 503 && answer.retryAfterS > 0) this.sentAway += 1;
      else this.failed += 1;
      waitMs = turnWaitMs(answer.retryAfterS * 1000, endsAt - now, Math.random);
    }
  }
}

interface Answer {
  readonly status: number;
  readonly retryAfterS: number;
}

/** One keep-alive connection; HTTP is written and read by hand, so that the load is not most of the machine's work. */
class Line {
  readonly #dial: () => Promise<TLSSocket>;
  readonly #socket: TLSSocket;
  #head = '';
  #left = -1;
  #answer: Answer = { status: 0, retryAfterS: 1 };
  #done: (answer: Answer) => void = () => {};

  constructor(socket: TLSSocket, dial: () => Promise<TLSSocket>) {
    this.#socket = socket;
    this.#dial = dial;
    socket.on('data', (part: Buffer) => this.#read(part));
    socket.on('error', () => {});
    socket.on('close', () => this.#done({ status: 0, retryAfterS: 1 }));
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && !this.#socket.readableEnded;
  }

  /** The authority closes what nobody used for a minute. */
  async again(): Promise<Line> {
    return new Line(await this.#dial(), this.#dial);
  }

  ask(request: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      this.#done = resolve;
      if (this.#socket.destroyed) resolve({ status: 0, retryAfterS: 1 });
      else this.#socket.write(request);
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(part: Buffer): void {
    if (this.#left < 0) {
      this.#head += part.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.#head.slice(0, end);
      const numberOf = (pattern: RegExp) => Number(pattern.exec(head)?.[1] ?? 0);
      this.#answer = {
        status: numberOf(/^HTTP\/1\.1 (\d+)/),
        retryAfterS: numberOf(/^retry-after: (\d+)/im),
      };
      this.#left = numberOf(/^content-length: (\d+)/im) - (this.#head.length - end - 4);
      this.#head = '';
    } else this.#left -= part.byteLength;
    if (this.#left > 0) return;
    this.#left = -1;
    this.#done(this.#answer);
  }
}

/** Connections of one kind, each for one workload at a time. */
class Lines {
  readonly free: Line[];
  readonly #wanting: ((line: Line) => void)[] = [];

  constructor(all: readonly Line[]) {
    this.free = [...all];
  }

  take(): Promise<Line> {
    const free = this.free.pop();
    return free === undefined
      ? new Promise((resolve) => this.#wanting.push(resolve))
      : Promise.resolve(free);
  }

  give(line: Line): void {
    const next = this.#wanting.shift();
    if (next === undefined) this.free.push(line);
    else next(line);
  }
}

async function linesOf(
  fleet: Fleet,
  name: string,
  count: number,
  ttlMs: number | undefined,
): Promise<Lines> {
  const lines: Line[] = [];
  const each = 50;
  for (let i = 0; lines.length < count; i += 1) {
    const identity = await fleet.workload(`${name}-${i}`, {
      isStatic: true,
      ...(ttlMs !== undefined && { ttlMs }),
    });
    const dialAgain = () => dial(fleet, identity);
    const dialled = await Promise.all(Array.from({ length: each }, dialAgain));
    lines.push(...dialled.map((socket) => new Line(socket, dialAgain)));
  }
  return new Lines(lines.slice(0, count));
}

async function dial({ authorityUrl }: Fleet, identity: RotatingIdentity): Promise<TLSSocket> {
  const { hostname, port } = new URL(authorityUrl);
  const { socket } = await dialMtls({
    ...{ host: hostname, port: Number(port), svids: identity, bundles: identity },
    ...{ clock: systemClock, expect: expectSpiffeId(idOf('countersign/ca')), timeoutMs: 30_000 },
  });
  return socket;
}

async function renewal(): Promise<Buffer> {
  const { csr } = await makeOwnRequest({ type: 'EC', curve: 'P-256' });
  const body = JSON.stringify({ csr: toBase64(csr) });
  return Buffer.from(
    [
      'POST /v1/renew HTTP/1.1',
      'host: 127.0.0.1',
      'content-type: application/json',
      `content-length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
  );
}
