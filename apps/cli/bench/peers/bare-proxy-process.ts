import { X509Certificate } from 'node:crypto';
import { appendFileSync, readFileSync, watchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { type Dispatcher, Pool } from 'undici';

// What can be had from Node alone: TLS and the list by its own means, one comparison as the identity rule, one header,
// one line of log, and a pool of undici. Nothing of ours is in it.
const [directory = '.', upstreamPort = '0', allowed = '', port = '0'] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(directory, name), 'utf8');
const identity = { cert: read('chain.pem'), key: read('key.pem'), ca: read('root.pem') };
const pool = new Pool(`https://127.0.0.1:${upstreamPort}`, {
  ...{ connections: 64, pipelining: 1 },
  connect: { ...identity, servername: 'server.example.test' },
});
const callers = new WeakMap<TLSSocket, string>();

const context = () => ({ ...identity, crl: read('crl.pem') });
const server = https.createServer(
  { ...context(), requestCert: true, rejectUnauthorized: true },
  proxy,
);
server.keepAliveTimeout = 600_000;
watchFile(join(directory, 'crl.pem'), { interval: 200 }, () => server.setSecureContext(context()));
server.listen(Number(port), '127.0.0.1');

// As nginx and Envoy do: many lines at once, and none later than a second.
let lines = '';
function log(line: string): void {
  lines += line;
  if (lines.length > 64 * 1024) flush();
}
function flush(): void {
  if (lines !== '') appendFileSync(join(directory, 'bare.log'), lines);
  lines = '';
}
setInterval(flush, 1000);

function callerOf(socket: TLSSocket): string {
  const known = callers.get(socket);
  if (known !== undefined) return known;
  const names = new X509Certificate(socket.getPeerCertificate().raw).subjectAltName ?? '';
  const id = names.startsWith('URI:') ? names.slice(4) : names;
  callers.set(socket, id);
  return id;
}

function proxy(request: IncomingMessage, response: ServerResponse): void {
  const started = performance.now();
  const id = callerOf(request.socket as TLSSocket);
  const { method = 'GET', url: path = '/' } = request;
  const done = (status: number) =>
    log(`${JSON.stringify({ id, method, path, status, ms: performance.now() - started })}\n`);
  if (id !== allowed) {
    response.writeHead(403);
    response.end();
    return void done(403);
  }
  const headers: string[] = [];
  const raw = request.rawHeaders;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (/^(?:connection|keep-alive|x-forwarded-client-cert)$/i.test(name)) continue;
    headers.push(name, raw[i + 1] ?? '');
  }
  headers.push('X-Forwarded-Client-Cert', `URI=${id}`);
  let status = 0;
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(controller, code) {
      status = code;
      const answered = (controller.rawHeaders as Buffer[]).map((part) => part.toString('latin1'));
      response.writeHead(code, answered);
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return;
      controller.pause();
      response.once('drain', () => controller.resume());
    },
    onResponseEnd() {
      response.end();
      done(status);
    },
    onResponseError() {
      response.destroy();
      done(502);
    },
  };
  const hasBody = request.headers['content-length'] ?? request.headers['transfer-encoding'];
  const body = hasBody === undefined ? null : request;
  pool.dispatch({ method: method as Dispatcher.HttpMethod, path, headers, body }, handler);
}
