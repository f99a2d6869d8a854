import { messageOf, systemClock } from '@countersign/base';
import { expectSpiffeId, mtlsConnector } from '@countersign/mtls';
import type { BundleSource, SvidSource } from '@countersign/spiffe';
import { Agent, type Dispatcher } from 'undici';
import type { GetValue, LoadValue, StreamValue } from './workload-messages.ts';

const requestTimeoutMs = 10_000;

/** Calls others over mTLS with the identity as it is at each new connection. */
export class Caller {
  readonly #svids: SvidSource;
  readonly #bundles: BundleSource;
  readonly #agents = new Map<string, Agent>();
  #load: { stop: () => void; done: Promise<LoadValue> } | undefined;
  #stream: { lines: number; ended?: NonNullable<StreamValue['ended']> } = { lines: 0 };

  constructor(svids: SvidSource, bundles: BundleSource) {
    this.#svids = svids;
    this.#bundles = bundles;
  }

  async get(url: string, expect: string): Promise<GetValue> {
    const { statusCode, body } = await this.#request(url, expect);
    return { status: statusCode, body: (await body.text()).trim() };
  }

  /** Requests at an even rate until {@link stopLoad}; each that is not answered 200 counts as failed. */
  startLoad(url: string, expect: string, ratePerSecond: number): void {
    const pending = new Set<Promise<void>>();
    const reasons = new Map<string, number>();
    let sent = 0;
    let failed = 0;
    const fail = (reason: string) => {
      failed += 1;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    };
    const one = async () => {
      try {
        const { status, body } = await this.get(url, expect);
        if (status !== 200) fail(`status ${status}: ${body.slice(0, 200)}`);
      } catch (thrown) {
        fail(messageOf(thrown));
      }
    };
    const began = systemClock.monotonic();
    const timer = setInterval(() => {
      const due = Math.floor(((systemClock.monotonic() - began) / 1000) * ratePerSecond);
      for (; sent < due; sent += 1) {
        const request = one();
        pending.add(request);
        request.finally(() => pending.delete(request));
      }
    }, 5);
    let stop: () => void = () => {};
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const done = stopped.then(async (): Promise<LoadValue> => {
      clearInterval(timer);
      await Promise.all(pending);
      return { sent, failed, reasons: [...reasons].map(([reason, n]) => `${n}x ${reason}`) };
    });
    this.#load = { stop, done };
  }

  stopLoad(): Promise<LoadValue> {
    if (this.#load === undefined) throw new Error('no load runs');
    this.#load.stop();
    return this.#load.done;
  }

  /** Opens a stream and resolves with its first line; it is then read until it breaks. */
  async stream(url: string, expect: string): Promise<StreamValue> {
    const { statusCode, body } = await this.#request(url, expect, 0);
    if (statusCode !== 200) throw new Error(`status ${statusCode}: ${await body.text()}`);
    const state: { lines: number; ended?: NonNullable<StreamValue['ended']> } = { lines: 0 };
    this.#stream = state;
    const first = new Promise<void>((resolve) => {
      const end = (reason: string) => {
        state.ended ??= { reason, at: systemClock.now() };
        resolve();
      };
      body.on('data', (chunk: Buffer) => {
        state.lines += chunk.toString('utf8').split('\n').length - 1;
        resolve();
      });
      body.on('error', (error) => end(error.message));
      body.on('close', () => end('closed'));
    });
    await first;
    return this.streamState();
  }

  streamState(): StreamValue {
    const { lines, ended } = this.#stream;
    return { lines, open: ended === undefined, ...(ended !== undefined && { ended }) };
  }

  #request(
    url: string,
    expect: string,
    bodyTimeout = requestTimeoutMs,
  ): Promise<Dispatcher.ResponseData> {
    const { host, pathname, search } = new URL(url);
    return this.#agentFor(expect).request({
      // The connector brings the TLS; see mtlsConnector.
      origin: `http://${host}`,
      path: `${pathname}${search}`,
      method: 'GET',
      headersTimeout: requestTimeoutMs,
      bodyTimeout,
    });
  }

  #agentFor(expect: string): Agent {
    const existing = this.#agents.get(expect);
    if (existing !== undefined) return existing;
    const agent = new Agent({
      connections: 8,
      connect: mtlsConnector({
        svids: this.#svids,
        bundles: this.#bundles,
        expect: expectSpiffeId(expect),
        clock: systemClock,
      }),
    });
    this.#agents.set(expect, agent);
    return agent;
  }
}
