import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A call as it arrived. */
export interface KmsCall {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

export interface KmsReply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export type KmsHandler = (call: KmsCall) => KmsReply;

/** A key service of ours in the place of another's, over plain HTTP on this machine, and all that it was asked. */
export interface KmsDouble {
  readonly url: string;
  readonly calls: KmsCall[];
  /** Answers in the place of the handler, as often as there are some. */
  readonly instead: KmsReply[];
  stop(): Promise<void>;
}

export async function startKmsDouble(handle: KmsHandler): Promise<KmsDouble> {
  const calls: KmsCall[] = [];
  const instead: KmsReply[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url ?? '/', 'http://double');
    const text = Buffer.concat(chunks).toString('utf8');
    const call: KmsCall = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      authorization: request.headers.authorization,
      body: text === '' ? undefined : JSON.parse(text),
    };
    calls.push(call);
    const { status, body, headers } = instead.shift() ?? handle(call);
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    instead,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** What of a call must be as the service's own SDK makes it: where it goes, and which members it has. */
export function shapeOf({ method, path, query, body }: KmsCall): string {
  const id = path
    .replaceAll(/[a-z]+-[0-9a-f]{8}|sdk-key/g, 'KEY')
    .replaceAll(/[0-9a-f]{32}/g, 'VERSION');
  const search = Object.keys(query)
    .filter((name) => name !== '$alt')
    .sort();
  return `${method} ${id}?${search.join('&')} ${members(body)}`;
}

function members(body: unknown): string {
  if (typeof body !== 'object' || body === null) return body === undefined ? 'nothing' : '…';
  if (Array.isArray(body)) return '[]';
  // The SDK writes empty maps.
  const entries = Object.entries(body)
    .filter(([, value]) => JSON.stringify(value) !== '{}')
    .sort(([a], [b]) => a.localeCompare(b));
  return `{${entries.map(([name, value]) => `${name}: ${members(value)}`).join(', ')}}`;
}
