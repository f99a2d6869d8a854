import { once } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { compileRules, parseAuthorizationPolicies, type RuleSet } from '@countersign/authz';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  ChangeSignal,
  makeSvid,
  type RevocationSource,
  type RevocationStatus,
  staticBundles,
  staticSvid,
} from '@countersign/spiffe';
import { type Mutations, type TestCredential, testCa } from '@countersign/testkit';
import { parseGatewayConfig } from './gateway-config.ts';
import { type Gateway, type GatewayOptions, startGateway } from './start-gateway.ts';

/** One authority for all tests of a file: its keys take longer to make than a test. */
export const root = testCa();
export const issuing = root.intermediate();
export const bundles = staticBundles({ trustDomain: 'example.test', authorities: [root.root] });
export const idOf = (name: string) => `spiffe://example.test/${name}`;
export const credentialOf = (name: string, mutations: Mutations = {}) =>
  issuing.svid(idOf(name), mutations);
export const svidOf = ({ chain, privateKey }: TestCredential) => makeSvid(chain, privateKey);
export const alice = credentialOf('alice');
export const mallory = credentialOf('mallory');
const gatewayCredential = credentialOf('gateway');
const ordersCredential = credentialOf('orders');

/** Everybody but mallory may do everything but DELETE and /admin. */
export const usualPolicy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: usual, namespace: prod }
spec:
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["example.test/alice", "example.test/bob"] } }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: never, namespace: prod }
spec:
  action: DENY
  rules:
    - to: [{ operation: { methods: [DELETE] } }, { operation: { paths: ["/admin", "/admin/*"] } }]
`;

export function rulesOf(yaml: string): RuleSet {
  return compileRules(parseAuthorizationPolicies(yaml, 'policy.yaml'));
}

/** A revocation source that a test writes into; it tells of changes only when told to. */
export function testRevocation() {
  const byId = new Map<string, RevocationStatus>();
  const signal = new ChangeSignal((thrown) => {
    throw thrown;
  });
  const source: RevocationSource & { onChange: typeof signal.onChange } = {
    check: (peer) => byId.get(peer.spiffeId?.toString() ?? '') ?? { status: 'good' },
    onChange: (listener) => signal.onChange(listener),
  };
  return {
    source,
    notify: () => signal.notify(),
    revoke(id: string) {
      const at = Date.now();
      const fields = { reason: 'keyCompromise', by: 'spiffe-id', position: 9, at } as const;
      byId.set(id, { status: 'revoked', ...fields });
    },
    restore(id: string) {
      byId.delete(id);
    },
    forget(id: string) {
      byId.set(id, { status: 'unknown', detail: 'feed is silent' });
    },
  };
}

/** A real upstream that asks for client certificates and says who it is by `credential`. */
export async function startUpstream(
  t: TestContext,
  listener: RequestListener,
  credential: TestCredential = ordersCredential,
  port = 0,
) {
  const server = https.createServer(
    {
      ...{ cert: credential.chainPem, key: credential.keyPem, ca: root.rootPem },
      ...{ requestCert: true, rejectUnauthorized: true },
    },
    listener,
  );
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { server, url };
}

export interface World {
  readonly gateway: Gateway;
  readonly revocation: ReturnType<typeof testRevocation>;
}

/** A gateway before an upstream, with the usual policy; closed at the end of the test. */
export async function startWorld(
  t: TestContext,
  upstreamUrl: string,
  more: Partial<GatewayOptions> & {
    readonly yaml?: string;
    readonly upstreamYaml?: string;
    readonly listenYaml?: string;
  } = {},
): Promise<World> {
  const revocation = testRevocation();
  const yaml = `
listen: { port: 0${more.listenYaml ?? ''} }
routes:
  - match: { pathPrefix: / }
    upstream: { url: "${upstreamUrl}", spiffeId: ${idOf('orders')}${more.upstreamYaml ?? ''} }
${more.yaml ?? ''}`;
  const gateway = await startGateway({
    config: parseGatewayConfig(yaml, 'gateway.yaml'),
    rules: rulesOf(usualPolicy),
    svids: staticSvid(svidOf(gatewayCredential)),
    bundles,
    revocation: revocation.source,
    clock: systemClock,
    log: noLog,
    meter: noMeter,
    ...more,
  });
  t.after(() => gateway.close());
  return { gateway, revocation };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface AskOptions extends https.RequestOptions {
  readonly body?: string | Uint8Array;
}

/** A client with one identity and keep-alive connections. */
export function clientOf(t: TestContext, url: string, who: TestCredential | undefined) {
  const agent = new https.Agent({ keepAlive: true, ...tlsOf(who) });
  t.after(() => agent.destroy());
  function request(path: string, options: AskOptions = {}) {
    const { body, ...rest } = options;
    const sent = https.request(`${url}${path}`, { agent, ...tlsOf(who), ...rest });
    if (body !== undefined) sent.end(body);
    return sent;
  }
  async function ask(path: string, options: AskOptions = {}): Promise<Answer> {
    const sent = request(path, { ...options, body: options.body ?? '' });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const body = await textOf(response);
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  }
  return { ask, request, agent };
}

export function tlsOf(who: TestCredential | undefined): tls.ConnectionOptions {
  const trust = { ca: root.rootPem, checkServerIdentity: () => undefined };
  return who === undefined ? trust : { ...trust, cert: who.chainPem, key: who.keyPem };
}

export async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** What a raw client gets for these bytes, until the gateway closes or answered once with keep-alive. */
export async function rawAsk(
  port: number,
  who: TestCredential,
  text: string,
  patienceMs = 200,
): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', ...tlsOf(who) });
  socket.on('error', () => {});
  socket.write(text);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  await new Promise((resolve) => {
    socket.once('close', resolve);
    socket.setTimeout(patienceMs, () => socket.destroy());
  });
  return received;
}

/** An upstream that answers with what it saw. */
export function echo(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const { method, url, rawHeaders } = request;
  const peer = (request.socket as tls.TLSSocket).getPeerX509Certificate()?.subjectAltName;
  response.end(JSON.stringify({ method, url, headers: request.headers, rawHeaders, peer }));
}
