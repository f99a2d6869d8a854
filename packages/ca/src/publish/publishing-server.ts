import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, CountersignError, type Log, messageOf, nodeHttp } from '@countersign/base';
import { answerDocument } from './http-document.ts';
import { LargeBodies } from './large-bodies.ts';
import type { OcspDesk } from './ocsp/ocsp-desk.ts';
import { answerAtHand, answerOcsp } from './ocsp/ocsp-http.ts';
import type { PublishConfig } from './publish-config.ts';
import type { PublishMetrics } from './publish-metrics.ts';
import type { PublishedDocuments } from './published-documents.ts';
import { publishedPath } from './published-paths.ts';

export interface PublishingServerOptions {
  readonly config: PublishConfig;
  /** Instead of `publish.port`. */
  readonly port?: number | undefined;
  readonly documents: PublishedDocuments;
  readonly ocsp: OcspDesk | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PublishMetrics;
  /** Open connections. Default 4096. */
  readonly maxConnections?: number | undefined;
}

export interface PublishingServer {
  /** `http://<address>:<port>`, where it listens. */
  readonly url: string;
  readonly port: number;
  /** Lets answers under way finish within `drainMs`. */
  close(drainMs: number): Promise<void>;
}

/** A stranger's connection may be silent for so long, amid a request or an answer or between them. */
const idleMs = 30_000;

const limits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  keepAliveTimeout: idleMs,
  connectionsCheckingInterval: 2000,
  noDelay: true,
} as const;

/**
 * What everybody may read, over plain HTTP: everything in it is signed. Nothing can be changed through it.
 *
 * @throws CountersignError ERR_LISTEN
 */
export async function startPublishingServer(
  options: PublishingServerOptions,
): Promise<PublishingServer> {
  const { config, log, metrics, clock } = options;
  const prefix = new URL(config.url).pathname.replace(/\/$/, '');
  const large = new LargeBodies(clock);
  const server = nodeHttp().createServer(limits, (request, response) => {
    const path = pathOf(request, prefix);
    // What is asked most, and is at hand, needs no promise.
    if (request.method === 'GET' && options.ocsp !== undefined && path.startsWith(ocspGet)) {
      const asked = path.slice(ocspGet.length);
      const status = answerAtHand(options.ocsp, clock, { path: asked, request, response });
      if (status !== undefined) return metrics.requests.add(1, labelsAtHand[status]);
    }
    answer(options, large, { path, request, response }).then(
      ({ route, status }) => metrics.requests.add(1, { route, status: String(status) }),
      (thrown: unknown) => {
        // Who left gets no answer.
        if (request.destroyed && request.errored !== null) return;
        log.error({ path: path.slice(0, 200), error: messageOf(thrown) }, 'request not answered');
        if (response.headersSent) response.destroy();
        else response.writeHead(500, { connection: 'close', 'content-length': 0 }).end();
      },
    );
  });
  server.maxConnections = options.maxConnections ?? 4096;
  server.setTimeout(idleMs);
  const { address, port, family } = await listen(server, options);
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  log.info({ url, named: config.url }, 'publishing lists and answers');
  return { url, port, close: (drainMs) => close(server, drainMs, clock) };
}

interface Exchange {
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Answered {
  readonly route: string;
  readonly status: number;
}

async function answer(
  options: PublishingServerOptions,
  large: LargeBodies,
  exchange: Exchange,
): Promise<Answered> {
  const { path, request, response } = exchange;
  const { method } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  const { ocsp, clock } = options;
  if (ocsp !== undefined && (path === publishedPath.ocsp || path.startsWith(ocspGet))) {
    const asked = isRead ? path.slice(ocspGet.length) : undefined;
    if (asked === '' || (!isRead && method !== 'POST'))
      return refuse(response, 'ocsp', 405, 'POST');
    const status = await answerOcsp(ocsp, clock, { path: asked, request, response });
    return { route: 'ocsp', status };
  }
  if (!isRead) return refuse(response, 'none', 405, 'GET, HEAD');
  const looked = options.documents.find(path);
  const found = looked instanceof Promise ? await looked : looked;
  if (found.document === undefined) return refuse(response, found.route, found.status);
  if (method === 'GET') large.watch(found.document.body, response);
  return { route: found.route, status: answerDocument(request, response, found.document) };
}

const ocspGet = `${publishedPath.ocsp}/`;
const labelsAtHand = {
  200: { route: 'ocsp', status: '200' },
  304: { route: 'ocsp', status: '304' },
} as const;

function refuse(
  response: ServerResponse,
  route: string,
  status: 404 | 405 | 503,
  allow?: string,
): Answered {
  const body = `${bodies[status]}\n`;
  response.writeHead(status, [
    ...['Content-Type', 'text/plain; charset=utf-8'],
    ...['Content-Length', String(Buffer.byteLength(body))],
    ...['Cache-Control', 'no-store'],
    ...(allow === undefined ? [] : ['Allow', allow]),
    ...(status === 503 ? ['Retry-After', '2'] : []),
    // A body that nobody reads would be taken for the next request.
    ...(status === 405 ? ['Connection', 'close'] : []),
  ]);
  response.end(body);
  return { route, status };
}

const bodies = {
  404: 'nothing is published here',
  405: 'method not allowed',
  503: 'not ready yet',
} as const;

/** With or without the path of `publish.url` before it: some proxies take it away. Nothing is decoded or resolved. */
function pathOf(request: IncomingMessage, prefix: string): string {
  const target = request.url ?? '';
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  return prefix !== '' && path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

async function listen(server: Server, options: PublishingServerOptions): Promise<AddressInfo> {
  const { address } = options.config;
  const port = options.port ?? options.config.port;
  return await new Promise((resolve, reject) => {
    const failed = (thrown: Error & { code?: string }): void => {
      const message = `listen on "${address}:${port}" for publishing: ${thrown.code ?? messageOf(thrown)}`;
      reject(new CountersignError('ERR_LISTEN', message, { cause: thrown }));
    };
    server.once('error', failed);
    server.listen(port, address, () => {
      server.off('error', failed);
      // A connection that cannot be accepted is that client's trouble.
      server.on('error', (thrown) => options.log.warn({ err: thrown }, 'publishing port failed'));
      resolve(server.address() as AddressInfo);
    });
  });
}

async function close(server: Server, drainMs: number, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const over = new AbortController();
  const overdue = clock.sleep(drainMs, { signal: over.signal, ref: false }).catch(() => {});
  await Promise.race([closed, overdue]);
  over.abort();
  server.closeAllConnections();
  await closed;
}
