import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CountersignError, type Log, messageOf, nodeHttp } from '@countersign/base';

export interface AdminServerOptions {
  readonly address: string;
  readonly port: number;
  /** Why the gateway is not well, or undefined. */
  readonly unwell: () => string | undefined;
  /** What /status shows, as JSON; without it /status is a 404. */
  readonly status?: (() => object) | undefined;
  /** Prometheus text; without it /metrics is a 404. */
  readonly metricsText?: (() => string | Promise<string>) | undefined;
  readonly log: Log;
}

export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * /healthz, /status and /metrics in clear text, for probes and scrapers on the same machine: nothing that it serves is secret,
 * and nothing can be changed through it.
 *
 * @throws CountersignError ERR_LISTEN
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const server = nodeHttp().createServer(
    { requestTimeout: 5000, headersTimeout: 5000 },
    (request, response) => {
      // Scrapers may add parameters, which mean nothing here.
      const [path = ''] = (request.url ?? '').split('?');
      const answer = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (request.method !== 'GET' || answer === undefined) {
        response.writeHead(404).end();
        return;
      }
      Promise.resolve(answer(options)).then(
        ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
        (thrown) => {
          options.log.error({ err: thrown, page: request.url }, 'admin page failed');
          response.writeHead(500).end();
        },
      );
    },
  );
  server.maxConnections = 64;
  const bound = await listen(server, options);
  // What fails while it serves, such as a connection that cannot be accepted, does not end the process.
  server.on('error', (thrown) => options.log.error({ err: thrown }, 'admin port failed'));
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${host}:${bound.port}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const pages: Readonly<Record<string, (options: AdminServerOptions) => Page | Promise<Page>>> = {
  '/healthz': ({ unwell }) => {
    const reason = unwell();
    const type = 'application/json';
    if (reason === undefined) return { status: 200, type, body: '{"status":"ok"}\n' };
    return { status: 503, type, body: `${JSON.stringify({ status: 'unwell', reason })}\n` };
  },
  '/status': ({ status }) => {
    if (status === undefined) return { status: 404, type: 'text/plain', body: 'no status\n' };
    const body = `${JSON.stringify(status(), null, 2)}\n`;
    return { status: 200, type: 'application/json', body };
  },
  '/metrics': async ({ metricsText }) => {
    if (metricsText === undefined) return { status: 404, type: 'text/plain', body: 'no metrics\n' };
    return {
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: await metricsText(),
    };
  },
};

async function listen(server: Server, { address, port }: AdminServerOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const failed = (thrown: Error & { code?: string }): void => {
      const message = `listen on "${address}:${port}" for administration: ${thrown.code ?? messageOf(thrown)}`;
      reject(new CountersignError('ERR_LISTEN', message, { cause: thrown }));
    };
    server.once('error', failed);
    server.listen(port, address, () => {
      server.off('error', failed);
      resolve(server.address() as AddressInfo);
    });
  });
}
