import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CountersignError, messageOf } from '@countersign/base';
import type { PrometheusMeter } from './prometheus-meter.ts';

export interface AdminServer {
  readonly url: string;
  close(): Promise<void>;
}

/** What `/healthz` says; false is answered 503. */
export interface Health {
  readonly ok: boolean;
  readonly [fact: string]: unknown;
}

/**
 * Serves `/metrics` and `/healthz` in plain HTTP on loopback alone: operators' figures, nothing that acts.
 *
 * @param port 0: any free port
 * @throws CountersignError ERR_CLI_LISTEN
 */
export async function startAdminServer(
  port: number,
  meter: PrometheusMeter,
  health: () => Health,
): Promise<AdminServer> {
  const server = createServer({ maxHeaderSize: 8192 }, (request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answer(response, 405, 'text/plain', 'only GET\n');
    }
    if (path === '/healthz') {
      const found = health();
      return answer(
        response,
        found.ok ? 200 : 503,
        'application/json',
        `${JSON.stringify(found)}\n`,
      );
    }
    if (path !== '/metrics') return answer(response, 404, 'text/plain', '/metrics or /healthz\n');
    meter.metricsText().then(
      (text) => answer(response, 200, meter.contentType, text),
      (thrown) => answer(response, 500, 'text/plain', `${messageOf(thrown)}\n`),
    );
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(port, error)));
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${taken}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

function cannotListen(port: number, error: Error): CountersignError {
  return new CountersignError(
    'ERR_CLI_LISTEN',
    `listen on admin port "127.0.0.1:${port}": ${error.message}`,
    { fields: { port }, cause: error },
  );
}
