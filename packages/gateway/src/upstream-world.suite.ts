import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export type Answering = (response: ServerResponse, request: IncomingMessage) => void;

/** Servers in clear text that answer with their number, unless they are told to answer otherwise. */
export async function numberedUpstreams(t: TestContext, count: number) {
  const answering = new Map<number, Answering>();
  const asked: number[] = Array.from({ length: count }, () => 0);
  const ports: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const server = createServer((request, response) => {
      asked[n] = (asked[n] ?? 0) + 1;
      const answer = answering.get(n);
      if (answer === undefined) response.end(String(n));
      else answer(response, request);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    ports.push((server.address() as AddressInfo).port);
  }
  const urls = ports.map((port) => `"http://127.0.0.1:${port}"`).join(', ');
  return { ports, urls, asked, answering };
}

export const answers =
  (status: number): Answering =>
  (response) => {
    response.writeHead(status);
    response.end();
  };

/** Waits for what happens by itself; half a minute at most. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it has not happened');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface UpstreamStatus {
  readonly name: string;
  readonly panic?: boolean;
  readonly endpoints: readonly {
    readonly address: string;
    readonly ejected?: boolean;
    readonly ejections?: number;
    readonly healthy?: boolean;
  }[];
}

/** What the admin port says of the upstreams. */
export async function upstreamStatus(adminUrl: string | undefined): Promise<UpstreamStatus[]> {
  const response = await fetch(`${adminUrl}/status`);
  return ((await response.json()) as { readonly upstreams: UpstreamStatus[] }).upstreams;
}
