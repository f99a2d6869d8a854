import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { CountersignError, messageOf } from '@countersign/base';
import { isEveryAddress, parseListenAddress } from './listen-address.ts';

export interface HttpsServer {
  /** `host:port`, with the port that was taken. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Presents the certificate of a file, which is no identity of ours: the one TLS server beside that of `mtls`, for a
 * program that is for tests alone.
 *
 * @throws CountersignError ERR_LISTEN, ERR_TLS_CONTEXT
 */
export async function serveHttps(
  written: string,
  { certificate, key }: { readonly certificate: string; readonly key: string },
  what: string,
  answer: RequestListener,
): Promise<HttpsServer> {
  const { host, port } = parseListenAddress(written, what);
  const limits = { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16_384 };
  const options = { ...limits, cert: certificate, key, minVersion: 'TLSv1.2' } as const;
  let server: ReturnType<typeof createServer>;
  try {
    server = createServer(options, answer);
  } catch (thrown) {
    const message = `present the certificate of pebble.certificate: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_TLS_CONTEXT', message, { cause: thrown });
  }
  // Where there is no IPv6, every address is every one of IPv4.
  const hosts = isEveryAddress(host) ? ['::', '0.0.0.0'] : [host ?? ''];
  let failure: unknown;
  for (const each of hosts) {
    try {
      await listen(server, port, each);
      return running(server, host ?? '');
    } catch (thrown) {
      failure = thrown;
      if ((thrown as { code?: string }).code === 'EADDRINUSE') break;
    }
  }
  const message = `listen on "${written}" (${what}): ${messageOf(failure)}`;
  throw new CountersignError('ERR_LISTEN', message, { cause: failure });
}

function running(server: ReturnType<typeof createServer>, host: string): HttpsServer {
  const { port } = server.address() as AddressInfo;
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(
  server: ReturnType<typeof createServer>,
  port: number,
  host: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
