import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http, { type Agent } from 'node:http';
import net from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { systemClock } from '@countersign/base';
import { type TestCredential, testCa } from '@countersign/testkit';
import type { PathNormalization } from '../policy/mesh-settings.ts';
import type { MtlsMode } from '../policy/peer-authentication.ts';
import type { Claims } from '../rules/rule-facts.ts';

const installed = join(homedir(), '.cache/countersign-foreign/envoy/bin/envoy');

/** Where Envoy is; `.ci/foreign-tools` installs it. */
export const envoyPath = existsSync(installed) ? installed : inPath();
export const skip = envoyPath === undefined ? 'envoy is not installed' : false;

/** One listener: RBAC filters as they are given to Envoy, between Istio's own settings. */
export interface EnvoyListener {
  readonly protocol: 'http' | 'tcp';
  /** Typed configurations of RBAC filters, `@type` and all. */
  readonly filters: readonly object[];
  readonly normalization?: PathNormalization;
  /** An edge believes so many proxies in front of it; a sidecar whoever talks to it. */
  readonly edge?: { readonly trustedProxies: number };
  /** Which connections are taken; `PERMISSIVE` unless given. */
  readonly mode?: MtlsMode;
  /** Of client certificates; any unless given. */
  readonly trustDomains?: readonly string[];
}

/** One request, or one raw connection, as it is made. */
export interface EnvoyCase {
  /** Which listener, by its place. */
  readonly listener: number;
  readonly id: string | undefined;
  readonly sni: string;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  readonly claims: Claims | undefined;
}

export interface EnvoyWorld {
  /** The status of the answer; for raw connections 200 where bytes come back, 403 where the connection is closed. */
  ask(asked: EnvoyCase): Promise<number>;
  close(): Promise<void>;
}

const rbacTypes = {
  http: 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
  tcp: 'type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC',
} as const;

export function rbacConfig(protocol: 'http' | 'tcp', filter: object): object {
  const prefix = protocol === 'tcp' ? { statPrefix: 'tcp.' } : {};
  return { '@type': rbacTypes[protocol], ...prefix, ...filter };
}

/**
 * A real Envoy with these listeners on ports of its own choice. Where a connection comes from and goes to is told by
 * the PROXY protocol, so that any address and port can be asked about.
 *
 * @param ids of the callers that will come
 */
export async function startEnvoy(
  listeners: readonly EnvoyListener[],
  ids: readonly string[],
): Promise<EnvoyWorld> {
  assert.ok(envoyPath !== undefined);
  const directory = mkdtempSync(join(tmpdir(), 'countersign-envoy-'));
  const ca = testCa();
  const pem = ({ chainPem, keyPem }: TestCredential) => ({ cert: chainPem, key: keyPem });
  const server = pem(ca.leaf({ dns: ['server.example'] }));
  const clients = new Map(ids.map((id) => [id, pem(ca.svid(id))]));
  const token = tokenKey();
  const config = {
    admin: { address: address(0) },
    static_resources: {
      listeners: listeners.map((listener, index) =>
        listenerConfig(listener, index, { ...server, ca: ca.rootPem, jwks: token.jwks }),
      ),
    },
  };
  writeFileSync(join(directory, 'envoy.json'), JSON.stringify(config));
  const adminFile = join(directory, 'admin');
  const child = spawn(
    envoyPath,
    [
      ...['-c', join(directory, 'envoy.json'), '--concurrency', '1', '-l', 'error'],
      ...['--use-dynamic-base-id', '--admin-address-path', adminFile],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-4000);
  });
  const ports = await portsOf(child, adminFile, () => log);
  const agents = new Map<string, Agent>();

  const agentFor = (asked: EnvoyCase): Agent => {
    const { id, sni, sourceIp, destinationIp, destinationPort } = asked;
    const key = JSON.stringify([asked.listener, id, sni, sourceIp, destinationIp, destinationPort]);
    const before = agents.get(key);
    if (before !== undefined) return before;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = () => connect(asked, ports, clients);
    agents.set(key, agent);
    return agent;
  };

  return {
    ask(asked) {
      const { protocol } = listeners[asked.listener] ?? { protocol: 'tcp' };
      if (protocol === 'tcp') return askRaw(connect(asked, ports, clients));
      return askHttp(asked, agentFor(asked), token);
    },
    async close() {
      for (const agent of agents.values()) agent.destroy();
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

interface ServerSecrets {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly jwks: string;
}

function listenerConfig(listener: EnvoyListener, index: number, secrets: ServerSecrets): object {
  const filters = [
    ...(listener.protocol === 'tcp'
      ? [
          ...listener.filters.map((filter) => named('envoy.filters.network.rbac', filter)),
          named('envoy.filters.network.echo', {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo',
          }),
        ]
      : [named('envoy.filters.network.http_connection_manager', managerConfig(listener, secrets))]),
  ];
  return {
    name: `listener-${index}`,
    address: address(0),
    listener_filters: [
      named('envoy.filters.listener.proxy_protocol', {
        '@type':
          'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
      }),
      named('envoy.filters.listener.tls_inspector', {
        '@type':
          'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
      }),
    ],
    filter_chains: chainsOf(listener, secrets, filters),
  };
}

function chainsOf(listener: EnvoyListener, secrets: ServerSecrets, filters: object[]): object[] {
  const { mode = 'PERMISSIVE', trustDomains } = listener;
  const names = trustDomains?.map((name) => ({
    san_type: 'URI',
    matcher: { prefix: `spiffe://${name}/` },
  }));
  const overTls = {
    filter_chain_match: { transport_protocol: 'tls' },
    transport_socket: named('envoy.transport_sockets.tls', {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: {
        tls_certificates: [
          {
            certificate_chain: { inline_string: secrets.cert },
            private_key: { inline_string: secrets.key },
          },
        ],
        validation_context: {
          trusted_ca: { inline_string: secrets.ca },
          ...(names !== undefined && { match_typed_subject_alt_names: names }),
        },
      },
    }),
    filters,
  };
  const plain = { filter_chain_match: { transport_protocol: 'raw_buffer' }, filters };
  if (mode === 'PERMISSIVE') return [overTls, plain];
  return mode === 'STRICT' ? [overTls] : [plain];
}

/** As Istio sets it up, but for routes: whatever gets through its filters is answered 200. */
function managerConfig(listener: EnvoyListener, { jwks }: ServerSecrets): object {
  const { normalization = 'BASE', edge, filters } = listener;
  const merges = normalization === 'MERGE_SLASHES' || normalization === 'DECODE_AND_MERGE_SLASHES';
  const http = 'type.googleapis.com/envoy.extensions.filters.http';
  return {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'x',
    normalize_path: normalization !== 'NONE',
    merge_slashes: merges,
    path_with_escaped_slashes_action:
      normalization === 'DECODE_AND_MERGE_SLASHES' ? 'UNESCAPE_AND_FORWARD' : 'KEEP_UNCHANGED',
    use_remote_address: edge !== undefined,
    xff_num_trusted_hops: edge?.trustedProxies ?? 0,
    forward_client_cert_details: edge === undefined ? 'APPEND_FORWARD' : 'SANITIZE_SET',
    set_current_client_cert_details: { subject: true, uri: true, dns: true },
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '' }, direct_response: { status: 200 } }],
        },
      ],
    },
    http_filters: [
      named('envoy.filters.http.jwt_authn', {
        '@type': `${http}.jwt_authn.v3.JwtAuthentication`,
        providers: {
          any: {
            local_jwks: { inline_string: jwks },
            payload_in_metadata: 'payload',
            normalize_payload_in_metadata: { space_delimited_claims: ['permission', 'scope'] },
          },
        },
        rules: [
          {
            match: { prefix: '/' },
            requires: {
              requires_any: { requirements: [{ provider_name: 'any' }, { allow_missing: {} }] },
            },
          },
        ],
      }),
      ...filters.map((filter) => named('envoy.filters.http.rbac', filter)),
      named('envoy.filters.http.router', { '@type': `${http}.router.v3.Router` }),
    ],
  };
}

function connect(
  asked: EnvoyCase,
  ports: readonly number[],
  clients: ReadonlyMap<string, { readonly cert: string; readonly key: string }>,
): net.Socket {
  const socket = net.connect({ port: ports[asked.listener] ?? 0, host: '127.0.0.1' });
  const family = net.isIPv6(asked.sourceIp) ? 'TCP6' : 'TCP4';
  socket.write(
    `PROXY ${family} ${asked.sourceIp} ${asked.destinationIp} 40000 ${asked.destinationPort}\r\n`,
  );
  const client = asked.id === undefined ? undefined : clients.get(asked.id);
  if (client === undefined) return socket;
  const name = asked.sni === '' ? {} : { servername: asked.sni };
  return tls.connect({ socket, ...client, ...name, rejectUnauthorized: false });
}

function askHttp(
  asked: EnvoyCase,
  agent: Agent,
  token: { issue(claims: Claims): string },
): Promise<number> {
  const { method, path, claims } = asked;
  const headers = [...asked.headers];
  if (claims !== undefined) headers.push('Authorization', `Bearer ${token.issue(claims)}`);
  return new Promise((resolve) => {
    const request = http.request({ agent, method, path, headers, setHost: false });
    request.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', () => resolve(0));
    request.end();
  });
}

function askRaw(socket: net.Socket): Promise<number> {
  return new Promise((resolve) => {
    socket.once('data', () => {
      resolve(200);
      socket.destroy();
    });
    socket.once('error', () => resolve(403));
    socket.once('close', () => resolve(403));
    socket.write('hello\n');
  });
}

async function portsOf(
  child: ChildProcess,
  adminFile: string,
  log: () => string,
): Promise<readonly number[]> {
  const deadline = systemClock.now() + 60_000;
  while (systemClock.now() < deadline) {
    assert.equal(child.exitCode, null, `envoy ended: ${log()}`);
    const admin = existsSync(adminFile) ? readFileSync(adminFile, 'utf8').trim() : '';
    const found = admin === '' ? [] : await listenersOf(admin);
    if (found.length > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return assert.fail(`envoy did not come up: ${log()}`);
}

async function listenersOf(admin: string): Promise<readonly number[]> {
  const ready = await fetch(`http://${admin}/ready`).catch(() => undefined);
  if (ready?.status !== 200) return [];
  const answer = await fetch(`http://${admin}/listeners?format=json`);
  const { listener_statuses: statuses } = (await answer.json()) as {
    listener_statuses: {
      name: string;
      local_address: { socket_address: { port_value: number } };
    }[];
  };
  const numbered = statuses.map(({ name, local_address: local }) => ({
    index: Number(name.slice('listener-'.length)),
    port: local.socket_address.port_value,
  }));
  return numbered.toSorted((a, b) => a.index - b.index).map(({ port }) => port);
}

function tokenKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256', use: 'sig' };
  const key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    jwks: JSON.stringify({ keys: [jwk] }),
    issue(claims: Claims): string {
      const text = `${encode({ alg: 'ES256', kid: 'k' })}.${encode(claims)}`;
      const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
      return `${text}.${signature.toString('base64url')}`;
    },
  };
}

function address(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function named(name: string, config: object) {
  return { name, typed_config: config };
}

function inPath(): string | undefined {
  try {
    return execFileSync('sh', ['-c', 'command -v envoy'], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
