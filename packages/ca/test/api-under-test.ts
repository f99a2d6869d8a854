import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Fields, type Log, noMeter, systemClock } from '@countersign/base';
import { AuthorityClient, type IssueResponse, type Transport } from '@countersign/wire';
import {
  buildCertificateRequest,
  encodePem,
  encodePrivateKey,
  generateKeyPair,
  keySigner,
} from '@countersign/x509';
import type { Authority } from '../src/authority.ts';
import { parseCaConfig } from '../src/ca-config.ts';
import { ephemeralAuthority } from '../src/ephemeral-authority.ts';
import { adminClient } from '../src/serve/admin-client.ts';
import {
  type AuthorityServer,
  type ServeAuthorityOptions,
  serveAuthority,
} from '../src/serve/serve-authority.ts';

export const caYaml = `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: "87600h" }
  intermediate:
    services:
      algorithm: ECDSA
      curve: P-256
      validity: "8760h"
      nameConstraints: { permitted: [".prod.internal"] }
service_certificates:
  validity: "1h"
  max_validity: "24h"
  san_policies:
    require_spiffe: true
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["*.prod.internal"]
profiles:
  server-only: { extKeyUsage: [serverAuth] }
api:
  admins: [spiffe://example.com/ns/ops/sa/admin]
  gateways: ["spiffe://example.com/ns/edge/*"]
`;

/** A served authority that lives as long as a test: its own data directory, its log lines kept. */
export interface TestApi {
  readonly authority: Authority;
  readonly server: AuthorityServer;
  readonly dataDir: string;
  readonly lines: readonly (Fields & { readonly message: string })[];
  /** Over HTTPS with a pinned root; without an identity anonymously. */
  client(identity?: TestIdentity): AuthorityClient;
  operator(): Promise<AuthorityClient>;
  /** By token, over the API. */
  enrol(spiffeId: string): Promise<TestIdentity>;
  close(): Promise<void>;
}

export interface TestIdentity {
  readonly response: IssueResponse;
  readonly key: string;
  readonly cert: string;
}

export async function testApi(
  options: Partial<ServeAuthorityOptions> & { readonly clock?: Clock } = {},
): Promise<TestApi> {
  const dataDir = mkdtempSync(join(tmpdir(), 'countersign-api-'));
  const clock = options.clock ?? systemClock;
  const lines: (Fields & { message: string })[] = [];
  const log = keptLog(lines);
  const config = parseCaConfig(caYaml, 'ca.yaml');
  const authority = options.authority ?? (await ephemeralAuthority({ config, clock, log }));
  const server = await serveAuthority({
    authority,
    port: 0,
    host: '127.0.0.1',
    dataDir,
    clock,
    log,
    meter: noMeter,
    version: '0.0.0-test',
    ...options,
  });
  const agents: Agent[] = [];
  const root = encodePem('CERTIFICATE', authority.root.raw);

  function client(identity?: TestIdentity): AuthorityClient {
    const agent = new Agent({ keepAlive: true });
    agents.push(agent);
    const transport = httpsTransport(server.port, {
      agent,
      ca: root,
      ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
    });
    return new AuthorityClient({ url: server.url, transport });
  }

  async function operator(): Promise<AuthorityClient> {
    const found = await adminClient(dataDir);
    assert.ok(found);
    return found;
  }

  return {
    authority,
    server,
    dataDir,
    lines,
    client,
    operator,
    async enrol(spiffeId) {
      const admin = await operator();
      const { token } = await admin.createToken({ spiffeId, dns: [], ip: [] });
      const { csr, key } = await newRequest();
      return identityOf(await client().enrol({ token, csr }), key);
    },
    async close() {
      for (const agent of agents) agent.destroy();
      await server.close(200);
      await authority.close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

export async function newRequest(): Promise<{ csr: Uint8Array; key: string }> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
  return { csr, key: encodePrivateKey(privateKey) };
}

export function identityOf(response: IssueResponse, key: string): TestIdentity {
  const cert = response.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
  return { response, key, cert };
}

/** One exchange with whatever method, path, headers and body: for what no client of ours would send. */
export function exchange(
  api: TestApi,
  options: RequestOptions & {
    readonly body?: string | Uint8Array;
    readonly identity?: TestIdentity;
  },
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  const { body, identity, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: api.server.port,
        ca: encodePem('CERTIFICATE', api.authority.root.raw),
        agent: false,
        ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
        ...rest,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

export function httpsTransport(port: number, tls: RequestOptions): Transport {
  return (call) =>
    new Promise((resolve, reject) => {
      const { method, path, signal, body } = call;
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const request = httpsRequest(
        { host: '127.0.0.1', port, method, path, signal, headers, ...tls },
        (response) =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: response as AsyncIterable<Uint8Array>,
          }),
      );
      request.once('error', reject);
      request.end(body);
    });
}

function keptLog(lines: (Fields & { message: string })[]): Log {
  const keep =
    (level: string) =>
    (fields: Fields, message: string): void => {
      lines.push({ level, ...fields, message });
    };
  const log: Log = {
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    child: () => log,
  };
  return log;
}
