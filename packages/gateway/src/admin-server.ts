import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CountersignError, type Log, messageOf, nodeHttp } from '@countersign/base';
import { isFromBrowser, isLoopback } from './admin/admin-callers.ts';
import {
  type AdminPage,
  type AdminView,
  adminPages,
  jsonPage,
  textPage,
} from './admin/admin-pages.ts';
import { listenOnPath } from './local-socket.ts';

export interface AdminServerOptions {
  readonly address: string;
  readonly port: number;
  /** Instead of both: a Unix socket for its owner's processes. */
  readonly socket?: string | undefined;
  /** Why the gateway is not well, or undefined. */
  readonly unwell: () => string | undefined;
  /** What /status shows, as JSON; without it /status is a 404. */
  readonly status?: (() => object) | undefined;
  /** Prometheus text; without it /metrics is a 404. */
  readonly metricsText?: (() => string | Promise<string>) | undefined;
  /** Pages beside these; for this machine alone. */
  readonly view?: AdminView | undefined;
  /** Whether something may be changed through it. Default false. */
  readonly changes?: boolean | undefined;
  readonly log: Log;
}

export interface AdminServer {
  /** `http://host:port`, or `unix:path`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * /healthz, /status and /metrics in clear text, for probes and scrapers on the same machine, and what else a view has.
 * Nothing that it serves is secret, and only where `changes` says so is something changed through it.
 *
 * @throws CountersignError ERR_LISTEN
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { log, socket } = options;
  const server = nodeHttp().createServer(
    { requestTimeout: 5000, headersTimeout: 5000 },
    (request, response) => {
      // Nothing that asks has a body to say it with.
      request.resume();
      answerOf(options, request).then(
        ({ status, type, body, allow }) =>
          response
            .writeHead(status, { 'content-type': type, ...(allow !== undefined && { allow }) })
            .end(body),
        (thrown) => {
          log.error({ err: thrown, page: request.url }, 'admin page failed');
          response.writeHead(500).end();
        },
      );
    },
  );
  server.maxConnections = 64;
  const url = socket === undefined ? await listen(server, options) : await listenAt(server, socket);
  // What fails while it serves, such as a connection that cannot be accepted, does not end the process.
  server.on('error', (thrown) => log.error({ err: thrown }, 'admin port failed'));
  return {
    url,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answerOf(options: AdminServerOptions, request: IncomingMessage): Promise<AdminPage> {
  const { address, socket, view, changes = false } = options;
  // Scrapers may add parameters, which mean nothing to these.
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const isGet = request.method === 'GET';
  const usual = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (isGet && usual !== undefined) return await usual(options);
  const page = Object.hasOwn(adminPages, path) ? adminPages[path] : undefined;
  const isLocal = socket !== undefined || isLoopback(address);
  if (page === undefined || view === undefined || !isLocal) return textPage(404, 'not found\n');
  const method = request.method === 'POST' ? 'post' : 'get';
  const answer = request.method === 'HEAD' ? undefined : page[method];
  if (answer === undefined || !(isGet || method === 'post')) {
    const allow = Object.keys(page).join(', ').toUpperCase();
    return { ...textPage(405, `only ${allow}\n`), allow };
  }
  // A page of the web that is open on this machine is not its operator.
  if (isFromBrowser(request)) return textPage(403, 'not for pages of the web\n');
  if (method === 'post' && !changes) {
    return textPage(403, 'nothing can be changed here: set "admin.changes" and restart\n');
  }
  return await answer(view, new URLSearchParams(query));
}

const pages: Readonly<
  Record<string, (options: AdminServerOptions) => AdminPage | Promise<AdminPage>>
> = {
  '/healthz': ({ unwell }) => {
    const reason = unwell();
    const type = 'application/json';
    if (reason === undefined) return { status: 200, type, body: '{"status":"ok"}\n' };
    return { status: 503, type, body: `${JSON.stringify({ status: 'unwell', reason })}\n` };
  },
  '/status': ({ status }) =>
    status === undefined ? textPage(404, 'no status\n') : jsonPage(200, status()),
  '/metrics': async ({ metricsText }) => {
    if (metricsText === undefined) return textPage(404, 'no metrics\n');
    return {
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: await metricsText(),
    };
  },
};

async function listenAt(server: Server, path: string): Promise<string> {
  await listenOnPath(server, path);
  return `unix:${path}`;
}

async function listen(server: Server, { address, port }: AdminServerOptions): Promise<string> {
  const bound = await new Promise<AddressInfo>((resolve, reject) => {
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
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return `http://${host}:${bound.port}`;
}
