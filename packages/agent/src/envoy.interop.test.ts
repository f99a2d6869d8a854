import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBundle } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { foreignTool } from '../test/foreign-tool.ts';
import {
  type AgentWorld,
  agentWorld,
  entryFor,
  myService,
  secondService,
  untilLine,
} from './agent-world.suite.ts';

const envoy = foreignTool('envoy/bin/envoy');
const caller = 'spiffe://example.org/caller';
const stranger = 'spiffe://example.org/stranger';
const rotations = 100;

describe('a real Envoy', { skip: envoy.skip }, () => {
  it('lets in the right SPIFFE ID alone, and goes on through rotations at one a second under load', async (t) => {
    const { world, port } = await envoyOf(t, ['default', 'ROOTCA']);
    const [right, wrong] = [clientOf(world, caller), clientOf(world, stranger)];
    const first = await get(port, right);
    assert.equal(first.status, 200);
    await assert.rejects(get(port, wrong), /alert|reset|EPROTO|hang up/i);
    await assert.rejects(get(port, {}), /alert|reset|EPROTO|hang up/i);

    const serials = new Set([first.serial]);
    let requests = 0;
    const over = new AbortController();
    const load = Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) {
        const answer = await get(port, right);
        assert.equal(answer.status, 200);
        serials.add(answer.serial);
        requests += 1;
        await sleep(5);
      }
    });
    for (let i = 0; i < rotations; i += 1) {
      world.agent.renewAll();
      await Promise.race([sleep(1000), ...load]);
    }
    over.abort();
    await Promise.all(load);
    t.diagnostic(`${requests} requests, each with a handshake, over ${serials.size} certificates`);
    assert.ok(serials.size > rotations * 0.8, `${serials.size} certificates were seen`);
    assert.ok(!world.lines.some(({ message }) => message.startsWith('Envoy refuses')));
  });

  it('checks callers of every trust domain by its own bundle, named ALL', async (t) => {
    const { world, port } = await envoyOf(t, [myService, 'ALL'], {
      callers: [caller, 'spiffe://example-federated.org/caller'],
    });
    const foreign = testCa();
    world.agent.bundles.put(makeBundle('example-federated.org', [foreign.root]));
    const credential = foreign.svid('spiffe://example-federated.org/caller');
    const forged = foreign.svid(caller);
    await until(async () => (await get(port, pemOf(credential))).status === 200);
    assert.equal((await get(port, clientOf(world, caller))).status, 200);
    await assert.rejects(get(port, pemOf(forged)), /alert|reset|EPROTO|hang up/i);
  });

  it('that cannot use what it asked for says so, and the operator reads it', async (t) => {
    const { world } = await envoyOf(t, ['ROOTCA', 'ROOTCA'], { waits: false });
    await untilLine(world, 'Envoy refuses the secrets');
    const line = world.lines.find(({ message }) => message.startsWith('Envoy refuses'));
    assert.deepEqual(line?.names, ['ROOTCA']);
    assert.equal(line?.node, 'interop');
  });
});

/** An Envoy that terminates mTLS with two secrets: its certificate, and whom it trusts. */
async function envoyOf(
  t: TestContext,
  [certificate, trust]: readonly [string, string],
  options: { readonly callers?: readonly string[]; readonly waits?: boolean } = {},
): Promise<{ readonly world: AgentWorld; readonly port: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-envoy-'));
  const federatesWith = ['example-federated.org'];
  const world = await agentWorld([entryFor(myService, { federatesWith }), entryFor(secondService)]);
  await world.agent.settled;
  const port = await freePort();
  const config = bootstrap({
    ...{ port, socket: world.agent.socket, certificate, trust },
    callers: options.callers ?? [caller],
  });
  const file = join(directory, 'envoy.json');
  await writeFile(file, JSON.stringify(config));
  const words = ['-c', file, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'warning'];
  const child = spawn(envoy.path, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    await world.close();
    rmSync(directory, { recursive: true });
  });
  if (options.waits !== false) {
    await until(
      async () => (await get(port, clientOf(world, caller))).status === 200,
      () => said,
    );
  }
  return { world, port };
}

interface Credential {
  readonly cert?: string;
  readonly key?: string;
}

/** A client of the agent's own authority, with a SPIFFE ID that is no workload of this machine. */
function clientOf({ authority }: AgentWorld, id: string): Credential {
  return pemOf(authority.ca.svid(id));
}

function pemOf({ chain, privateKey }: ReturnType<ReturnType<typeof testCa>['svid']>): Credential {
  const cert = chain.map((each) => encodePem('CERTIFICATE', each.raw)).join('');
  return { cert, key: encodePrivateKey(privateKey) };
}

function get(
  port: number,
  credential: Credential,
): Promise<{ readonly status: number; readonly serial: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      // Whom it is of is looked at below; a connection each, so that every one is a handshake.
      {
        port,
        host: '127.0.0.1',
        agent: false,
        rejectUnauthorized: false,
        timeout: 10_000,
        ...credential,
      },
      (response) => {
        const { serialNumber, subjectaltname } = (
          response.socket as import('node:tls').TLSSocket
        ).getPeerCertificate();
        response.resume();
        response.once('end', () =>
          subjectaltname === `URI:${myService}`
            ? resolve({ status: response.statusCode ?? 0, serial: serialNumber })
            : reject(new Error(`server is "${subjectaltname}"`)),
        );
      },
    );
    asked.on('error', reject);
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.end();
  });
}

async function until(isSo: () => Promise<boolean>, said: () => string = () => ''): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  let last: unknown;
  while (!deadline.aborted) {
    const answer = await isSo().catch((thrown: unknown) => {
      last = thrown;
      return false;
    });
    if (answer) return;
    await sleep(50);
  }
  throw new Error(`not so within a minute; ${said()}`, { cause: last });
}

function bootstrap(options: {
  readonly port: number;
  readonly socket: string;
  readonly certificate: string;
  readonly trust: string;
  readonly callers: readonly string[];
}): object {
  const sds = (name: string) => ({
    name,
    sds_config: {
      resource_api_version: 'V3',
      api_config_source: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'agent' } }],
      },
    },
  });
  const tls = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
  const manager =
    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
  const router = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
  return {
    node: { id: 'interop', cluster: 'interop' },
    static_resources: {
      listeners: [
        {
          address: { socket_address: { address: '127.0.0.1', port_value: options.port } },
          filter_chains: [
            {
              transport_socket: {
                name: 'envoy.transport_sockets.tls',
                typed_config: {
                  '@type': tls,
                  require_client_certificate: true,
                  common_tls_context: {
                    tls_certificate_sds_secret_configs: [sds(options.certificate)],
                    combined_validation_context: {
                      default_validation_context: {
                        match_typed_subject_alt_names: options.callers.map((exact) => ({
                          san_type: 'URI',
                          matcher: { exact },
                        })),
                      },
                      validation_context_sds_secret_config: sds(options.trust),
                    },
                  },
                },
              },
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': manager,
                    stat_prefix: 'in',
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                        },
                      ],
                    },
                    http_filters: [
                      { name: 'envoy.filters.http.router', typed_config: { '@type': router } },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'agent',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'agent',
            endpoints: [
              { lb_endpoints: [{ endpoint: { address: { pipe: { path: options.socket } } } }] },
            ],
          },
        },
      ],
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
