import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { denial, type Log, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener, isAnonymous, type PeerOf } from '@countersign/mtls';
import type { BundleSource, SvidSource } from '@countersign/spiffe';
import { parseXfcc } from '@countersign/wire';

export interface WorkloadServerOptions {
  readonly name: string;
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  /** The one SPIFFE ID that may connect. */
  readonly admits: string;
  readonly log: Log;
}

const streamIntervalMs = 50;

/** Serves `/NAME` (one answer) and `/NAME/stream` (a line now and then, without end) over mTLS. */
export async function serveWorkload(options: WorkloadServerOptions): Promise<string> {
  const { name, svids, bundles, admits, log } = options;
  const http = createServer((request, response) => answer(name, request, response));
  const listener = createMtlsListener({
    name,
    svids,
    bundles,
    clientAuth: 'require',
    clock: systemClock,
    log,
    meter: noMeter,
    admit: (peer) => admitOnly(admits, peer),
    onConnection: (socket) => http.emit('connection', socket),
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  return `https://127.0.0.1:${port}`;
}

function admitOnly(expected: string, peer: PeerOf) {
  const shown = isAnonymous(peer) ? 'anonymous' : String(peer.spiffeId);
  if (shown === expected) return { ok: true } as const;
  return denial('ERR_PEER_UNEXPECTED', `peer is "${shown}", expected "${expected}"`);
}

function answer(name: string, request: IncomingMessage, response: ServerResponse): void {
  if (request.url === `/${name}/stream`) {
    stream(name, response);
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify({ service: name, caller: callerOf(request) })}\n`);
}

function stream(name: string, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/plain' });
  let n = 0;
  const write = () => {
    n += 1;
    response.write(`${name} event ${n}\n`);
  };
  write();
  const timer = setInterval(write, streamIntervalMs);
  response.on('close', () => clearInterval(timer));
}

/** The gateway is the only peer, and it strips what callers wrote: so this header is its word. */
function callerOf(request: IncomingMessage): string {
  const header = request.headers['x-forwarded-client-cert'];
  const elements = typeof header === 'string' ? parseXfcc(header) : [];
  return elements.at(-1)?.uri?.[0] ?? 'unknown';
}
