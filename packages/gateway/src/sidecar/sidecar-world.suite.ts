import { once } from 'node:events';
import http, { type IncomingMessage, type RequestListener } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import {
  compileRules,
  type MtlsMode,
  meshSettingsOf,
  parseAuthorizationPolicies,
} from '@countersign/authz';
import { type Log, noLog, noMeter, systemClock } from '@countersign/base';
import { staticSvid } from '@countersign/spiffe';
import type { TestCredential } from '@countersign/testkit';
import { bundles, svidOf, testRevocation, textOf, tlsOf } from '../gateway-world.suite.ts';
import { type GatewayOptions, startGateway } from '../start-gateway.ts';
import type { SeenConnection } from './mixed-ports.ts';
import { parseSidecarConfig } from './sidecar-config.ts';

export interface SidecarOptions extends Partial<GatewayOptions> {
  readonly as: TestCredential;
  readonly policy?: string;
  /** By the name of the listener; changes are asked for at each connection. */
  readonly modes?: Record<string, MtlsMode>;
}

const self = 'sidecar: { namespace: prod, labels: { app: orders } }';

/** A sidecar as sidecar.yaml describes it; closed at the end of the test. */
export async function startSidecarOf(t: TestContext, yaml: string, options: SidecarOptions) {
  const { as, policy = '', modes = {}, ...more } = options;
  const revocation = testRevocation();
  const seen: (SeenConnection & { listener: string })[] = [];
  const config = parseSidecarConfig(`${self}\n${yaml}`, 'sidecar.yaml');
  const { workload, paths, mesh } = config.gateway.authorization;
  const sidecar = await startGateway({
    config: config.gateway,
    rules: compileRules(policy === '' ? [] : parseAuthorizationPolicies(policy, 'policy.yaml'), {
      mesh: meshSettingsOf(mesh, 'example.test'),
      ...{ paths, ...(workload !== undefined && { workload }) },
    }),
    mixedPorts: {
      modeOf: (listener) => modes[listener] ?? 'STRICT',
      seen: (listener, connection) => seen.push({ listener, ...connection }),
    },
    ...{ svids: staticSvid(svidOf(as)), bundles, revocation: revocation.source },
    ...{ clock: systemClock, log: noLog, meter: noMeter, ...more },
  });
  t.after(() => sidecar.close());
  const portOf = (name: string) =>
    sidecar.listeners.find((each) => each.name === name)?.port ?? Number.NaN;
  return { sidecar, revocation, seen, modes, portOf };
}

/** A plain application of HTTP. */
export async function startApp(t: TestContext, listener: RequestListener): Promise<number> {
  const server = http.createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A plain application of any bytes. */
export async function startTcpApp(t: TestContext, take: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    take(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

/** Answers with the request that it saw, as JSON. */
export function echoPlain(request: IncomingMessage, response: http.ServerResponse): void {
  const { method, url, headers } = request;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ method, url, headers }));
}

export interface PlainAnswer {
  readonly status: number;
  readonly body: string;
}

/** A request in plaintext on a connection of its own. */
export async function plainAsk(
  port: number,
  path: string,
  options: http.RequestOptions = {},
): Promise<PlainAnswer> {
  const sent = http.request({ host: '127.0.0.1', port, path, agent: false, ...options });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await textOf(response) };
}

export function connectPlain(t: TestContext, port: number): Socket {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  return socket;
}

export function connectTls(t: TestContext, port: number, who: TestCredential | undefined) {
  const socket = tls.connect({ port, host: '127.0.0.1', ...tlsOf(who) });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  return socket;
}

/** Everything until the other side ends. */
export async function allOf(socket: Socket): Promise<string> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of socket) chunks.push(chunk as Uint8Array);
  } catch {
    // Broken off: what came until then is the answer.
  }
  return Buffer.concat(chunks).toString();
}

/** Keeps what is logged. */
export function recordingLog() {
  const lines: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { log: log as unknown as Log, lines };
}
