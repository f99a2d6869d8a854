import { once } from 'node:events';
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { TestCredential } from '@countersign/testkit';
import { credentialOf, root, tlsOf } from './gateway-world.suite.ts';

export interface H2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly rstCode: number;
}

/** A client that speaks HTTP/2 on one connection. */
export function h2ClientOf(t: TestContext, url: string, who: TestCredential) {
  const session = http2.connect(url, tlsOf(who));
  session.on('error', () => {});
  t.after(() => session.destroy());
  return {
    session,
    ask(path: string, more: Record<string, string> = {}, body?: string | Uint8Array) {
      return answerOf(open(session, path, more, body === undefined), body);
    },
    open: (path: string, more: Record<string, string> = {}, endStream = false) =>
      open(session, path, more, endStream),
  };
}

function open(
  session: ClientHttp2Session,
  path: string,
  more: Record<string, string>,
  endStream: boolean,
): ClientHttp2Stream {
  const stream = session.request({ ':path': path, ...more }, { endStream });
  stream.on('error', () => {});
  return stream;
}

export async function answerOf(
  stream: ClientHttp2Stream,
  body?: string | Uint8Array,
): Promise<H2Answer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  let text = '';
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('trailers', (received) => {
    trailers = received;
  });
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    text += chunk;
  });
  if (body !== undefined) stream.end(body);
  stream.on('error', () => {});
  await new Promise<void>((resolve) => stream.once('close', resolve));
  return {
    status: Number(headers[':status'] ?? 0),
    headers,
    trailers,
    body: text,
    rstCode: stream.rstCode,
  };
}

const orders = credentialOf('orders');

/** An upstream that speaks HTTP/2 alone, or HTTP/1.1 as well. */
export async function startH2Upstream(
  t: TestContext,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void,
  settings: http2.Settings = {},
) {
  const server = http2.createSecureServer({
    ...{ cert: orders.chainPem, key: orders.keyPem, ca: root.rootPem },
    ...{ requestCert: true, rejectUnauthorized: true, settings },
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers, _flags, raw: unknown) => {
    stream.on('error', () => {});
    onStream(stream as ServerHttp2Stream, headers, raw as string[]);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { server, sessions, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Answers with what it saw, as `echo` does. */
export function h2Echo(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  let body = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    body += chunk;
  });
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify({ headers, body }));
  });
}
