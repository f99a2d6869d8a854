import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type RequestOptions, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

const methods = ['crl', 'ocsp'] as const;
type Method = (typeof methods)[number];

let directory = '';
const gateways = new Map<Method, Started>();
const stop: (() => void)[] = [];
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  const state = ['--data', file('state')];
  const config = ['--config', file('ca.yaml')];
  const published = await freePort();
  await writeFile(file('ca.yaml'), `${authorityYaml()}${publishYaml(published)}`);
  assert.equal((await countersign(['init', ...config, ...state])).code, 0);
  const serve = ['ca', 'serve', ...config, ...state, '--port', '0'];
  const authority = await startCountersign(t as never, serve);
  stop.push(() => authority.kill('SIGKILL'));
  const names = ['orders', 'shop', 'payments', ...methods.map((method) => `gateway-${method}`)];
  for (const ran of await Promise.all(
    names.map((name) =>
      countersign(['issue', ...state, '--spiffe-id', id(name), '--out', file(name)]),
    ),
  )) {
    assert.equal(ran.code, 0, ran.stderr);
  }
  const port = await startUpstream();
  await Promise.all(
    methods.map(async (method) => {
      await writeFile(file(`${method}.yaml`), gatewayYaml(port, method));
      const started = await startCountersign(t as never, [
        ...['gateway', '--config', file(`${method}.yaml`), '--identity', file(`gateway-${method}`)],
        ...['--ca', authority.urls[0] ?? '', '--port', '0', '--admin-port', '0'],
      ]);
      gateways.set(method, started);
      stop.push(() => started.kill('SIGKILL'));
    }),
  );
});
after(() => {
  for (const each of stop) each();
});

test('gateways that follow no feed cut whom lists and answers say is revoked, and nobody else', async () => {
  // 1. both let everybody in, by what the authority publishes
  const streams = await Promise.all(
    methods.map(async (method) => ({
      revoked: await open(method, 'shop'),
      innocent: await open(method, 'payments'),
    })),
  );
  // 2. a revocation reaches their open connections without anybody telling them
  const words = ['--data', file('state'), '--spiffe-id', id('shop'), '--reason', 'keyCompromise'];
  const revoked = await countersign(['revoke', ...words]);
  assert.equal(revoked.code, 0, revoked.stderr);
  await Promise.all(streams.map((each) => each.revoked.ended));
  // 3. new ones are refused, the others go on
  for (const method of methods) {
    const { status, body } = await get(method, 'shop');
    assert.equal(status, 403, method);
    assert.equal(JSON.parse(body).code, 'ERR_PEER_REVOKED', method);
    assert.equal((await get(method, 'payments')).status, 200, method);
  }
  for (const { innocent } of streams) {
    await innocent.more(innocent.bytes());
    innocent.close();
  }
});

test('what each gateway goes by, and how fresh that is, stands on its status page', async () => {
  for (const method of methods) {
    const admin = gateways.get(method)?.urls[1];
    const { revocation } = (await (await fetch(`${admin}/status`)).json()) as {
      revocation: { methods: Record<string, { lists?: object[]; answers?: object }> };
    };
    assert.deepEqual(Object.keys(revocation.methods), [method]);
    assert.match(JSON.stringify(revocation), /"onUnknown":"refuse"/);
    const { lists, answers } = revocation.methods[method] ?? {};
    // of the root, and of one to three shards of the intermediate with a delta each
    if (method === 'crl') assert.ok((lists?.length ?? 0) >= 3, JSON.stringify(lists));
    // two workloads, the upstream, the intermediate, and the gateway itself
    else assert.deepEqual(answers, { good: 4, revoked: 1, none: 0 });
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    assert.match(metrics, new RegExp(`lookups_total{method="${method}",result="ok"} [1-9]`));
  }
});

function publishYaml(port: number): string {
  return `publish:
  url: http://127.0.0.1:${port}
  port: ${port}
  crl: { coalesce: 100ms, shards: 3, delta: true }
`;
}

function gatewayYaml(port: number, method: Method): string {
  return `listen: { address: 127.0.0.1 }
revocation:
  method: ${method}
  ${method}: { refresh: 1s }
  fetch: { allow: [127.0.0.1] }
routes:
  - match: { pathPrefix: / }
    upstream: { url: 'https://127.0.0.1:${port}', spiffeId: ${id('orders')} }
`;
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Answers at once, or with a line now and then. */
async function startUpstream(): Promise<number> {
  const own = { ...(await credentials('orders')), requestCert: true };
  const server = createServer(own, (asked, answer) => {
    if (asked.url !== '/stream') return void answer.end('served');
    const timer = setInterval(() => answer.write('event\n'), 20);
    return void answer.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stop.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function credentials(name: string) {
  const parts = ['key.pem', 'chain.pem', 'bundle.pem'].map((part) =>
    readFile(join(file(name), part)),
  );
  const [key, cert, ca] = await Promise.all(parts);
  return { key, cert, ca, rejectUnauthorized: false };
}

async function optionsFor(method: Method, name: string, path: string): Promise<RequestOptions> {
  const { hostname, port } = new URL(gateways.get(method)?.urls[0] ?? '');
  return {
    ...(await credentials(name)),
    ...{ host: hostname, port, path, agent: false, rejectUnauthorized: true },
    // SPIFFE IDs rather than host names
    checkServerIdentity: () => undefined,
  };
}

async function get(method: Method, name: string): Promise<{ status: number; body: string }> {
  const options = await optionsFor(method, name, '/');
  return new Promise((resolve, reject) => {
    const asked = request(options, async (answer) => {
      const body = Buffer.concat(await answer.toArray()).toString();
      resolve({ status: answer.statusCode ?? 0, body });
    });
    asked.on('error', reject);
    asked.end();
  });
}

interface OpenStream {
  readonly ended: Promise<void>;
  bytes(): number;
  /** Resolves when more than `before` bytes have come. */
  more(before: number): Promise<void>;
  close(): void;
}

async function open(method: Method, name: string): Promise<OpenStream> {
  const options = await optionsFor(method, name, '/stream');
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${method} ${name}: ${answer.statusCode}`));
      let bytes = 0;
      answer.on('error', () => {});
      const ended = new Promise<void>((closed) => answer.on('close', closed));
      answer.on('data', (chunk) => {
        bytes += chunk.length;
        resolve({
          ended,
          bytes: () => bytes,
          async more(before) {
            while (bytes <= before) await new Promise((next) => answer.once('data', next));
          },
          close: () => asked.destroy(),
        });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
