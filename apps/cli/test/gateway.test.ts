import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type RequestOptions, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { type Started, startCountersign, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

let directory = '';
let authority: Started;
let gateway: Started;
const stop: (() => void)[] = [];
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  const state = ['--data', file('state')];
  await writeFile(file('ca.yaml'), authorityYaml());
  const config = ['--config', file('ca.yaml')];
  assert.equal((await countersign(['init', ...config, ...state])).code, 0);
  authority = await startCountersign(t as never, [
    'ca',
    'serve',
    ...config,
    ...state,
    '--port',
    '0',
  ]);
  stop.push(() => authority.kill('SIGKILL'));
  const issued = await Promise.all(
    ['orders', 'shop', 'reports', 'payments'].map((name) =>
      countersign(['issue', ...state, '--spiffe-id', id(name), '--out', file(name)]),
    ),
  );
  for (const { code, stderr } of issued) assert.equal(code, 0, stderr);
  const token = await countersign(['token', 'create', ...state, '--spiffe-id', id('gateway')]);
  await writeFile(file('token.txt'), token.stdout);
  const port = await startUpstream();
  await writeFile(file('gateway.yaml'), gatewayYaml(port));
  await writeFile(file('policies.yaml'), policyOf('shop', 'payments'));
  gateway = await startCountersign(t as never, [
    ...['gateway', '--config', file('gateway.yaml'), '--policy', file('policies.yaml')],
    ...['--identity', file('gateway'), '--ca', authority.urls[0]!],
    ...['--token', `@${file('token.txt')}`, '--port', '0', '--admin-port', '0'],
  ]);
  stop.push(() => gateway.kill('SIGKILL'));
});
after(() => {
  for (const each of stop) each();
});

test('the gateway enrols with its token, forwards for whom a policy names, and tells the upstream who called', async () => {
  const { status, body } = await get('shop', '/orders');
  assert.equal(status, 200, body);
  assert.match(body, new RegExp(`URI=${id('shop')}`));
});

test('whom no policy names is denied: a code and an id for the caller, the reason in the log', async () => {
  const { status, body } = await get('reports', '/orders');
  assert.equal(status, 403);
  const problem = JSON.parse(body);
  assert.equal(problem.code, 'ERR_AUTHZ_NO_RULE');
  assert.equal(problem.detail, undefined);
  assert.ok(gateway.stderr().includes(problem.id));
});

test('SIGHUP puts changed policies in force, and keeps the old ones where the new cannot be used', async () => {
  await writeFile(file('policies.yaml'), policyOf('shop', 'payments', 'reports'));
  await told('SIGHUP', '"reloaded"');
  assert.equal((await get('reports', '/orders')).status, 200);
  await writeFile(file('policies.yaml'), 'kind: AuthorizationPolicy\nspec: { acton: DENY }\n');
  await told('SIGHUP', '"reload failed');
  assert.equal((await get('reports', '/orders')).status, 200);
});

test('revoke cuts the open stream of the revoked alone, and prints what it closed where in which time', async () => {
  const [shop, payments] = await Promise.all([open('shop'), open('payments')]);
  const revoked = await countersign([
    ...['revoke', '--data', file('state'), '--spiffe-id', id('shop'), '--reason', 'keyCompromise'],
  ]);
  assert.equal(revoked.code, 0, revoked.stderr);
  assert.match(
    revoked.stdout,
    /closed [1-9]\d* connections? on 1 gateway in [\d.]+ ms, acknowledged by 1 of 1/,
  );
  await shop.ended;
  const before = payments.bytes();
  await payments.more(before);
  payments.close();
  const again = await get('shop', '/orders');
  assert.equal(again.status, 403);
  assert.equal(JSON.parse(again.body).code, 'ERR_PEER_REVOKED');
});

test('the admin port has the metrics of requests, cuts and the feed, and says that it is well', async () => {
  const [, admin] = gateway.urls;
  const text = await (await fetch(`${admin}/metrics`)).text();
  for (const name of [
    'countersign_handshakes_total',
    'countersign_active_connections',
    'countersign_revocations_applied_total',
    'countersign_cut_connections_total',
    'countersign_feed_lag_seconds',
    'countersign_certificate_not_after_seconds',
    'countersign_renewals_total',
  ]) {
    assert.ok(text.includes(`# TYPE ${name} `), `no ${name}`);
  }
  assert.equal((await fetch(`${admin}/healthz`)).status, 200);
});

test('a gateway that cannot be configured says why, with exit code 2', async () => {
  await writeFile(file('bad.yaml'), gatewayYaml(1).replace('upstream:', 'upsteam:'));
  const [bad, nobody, missing] = await Promise.all([
    countersign(['gateway', '--config', file('bad.yaml'), '--identity', file('gateway')]),
    countersign(['gateway', '--config', file('gateway.yaml')]),
    countersign(['gateway', '--config', file('gateway.yaml'), '--identity', file('nobody')]),
  ]);
  assert.deepEqual([bad.code, nobody.code, missing.code], [2, 2, 2]);
  assert.match(bad.stderr, /bad\.yaml:4:\d+: unknown key "upsteam".*"upstream"/);
  assert.equal(lastLine(nobody.stderr), 'ERR_USAGE');
  assert.equal(lastLine(missing.stderr), 'ERR_IDENTITY_FILES');
});

test('a signal that also comes by way of a launcher counts once, one that comes a second later ends at once', async (t) => {
  const words = ['gateway', '--config', file('gateway.yaml'), '--identity', file('gateway')];
  const impatient = await startCountersign(t, [...words, '--port', '0']);
  const stream = await open('payments', impatient);
  impatient.kill('SIGTERM');
  await wait(100);
  impatient.kill('SIGTERM');
  await wait(1000);
  await stream.more(stream.bytes());
  assert.equal((await impatient.end()).code, 130);
});

test('SIGTERM drains and exits 0, and standard output had the ready line alone', async () => {
  const stream = await open('payments');
  gateway.kill('SIGTERM');
  await wait(50);
  const ending = gateway.end();
  await stream.more(stream.bytes());
  stream.close();
  const ended = await ending;
  assert.equal(ended.code, 0, ended.stderr);
  assert.equal(ended.stdout, `ready ${gateway.urls.join(' ')}\n`);
});

/** Answers with the identity header that the gateway adds, or with a line now and then. */
async function startUpstream(): Promise<number> {
  const server = createServer(
    { ...(await credentials('orders')), requestCert: true },
    (asked, answer) => {
      answer.writeHead(200, { 'content-type': 'text/plain' });
      if (asked.url !== '/orders/stream') {
        answer.end(String(asked.headers['x-forwarded-client-cert']));
        return;
      }
      const timer = setInterval(() => answer.write('event\n'), 20);
      answer.on('close', () => clearInterval(timer));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stop.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function credentials(name: string) {
  const read = (part: string) => readFile(join(file(name), part));
  const [key, cert, ca] = await Promise.all([
    read('key.pem'),
    read('chain.pem'),
    read('bundle.pem'),
  ]);
  return { key, cert, ca, rejectUnauthorized: false };
}

async function optionsFor(
  name: string,
  path: string,
  to: Started = gateway,
): Promise<RequestOptions> {
  const { hostname, port } = new URL(to.urls[0]!);
  // Another port each start, and SPIFFE IDs rather than host names: the chain is what is checked here.
  return {
    ...(await credentials(name)),
    ...{ host: hostname, port, path, agent: false },
    rejectUnauthorized: true,
    checkServerIdentity: () => undefined,
  };
}

async function get(name: string, path: string): Promise<{ status: number; body: string }> {
  const options = await optionsFor(name, path);
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      let body = '';
      answer.on('data', (chunk) => {
        body += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
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

async function open(name: string, to?: Started): Promise<OpenStream> {
  const options = await optionsFor(name, '/orders/stream', to);
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      let bytes = 0;
      answer.on('error', () => {});
      const ended = new Promise<void>((closed) => answer.on('close', closed));
      answer.on('data', (chunk) => {
        bytes += chunk.length;
        resolve(stream);
      });
      const stream: OpenStream = {
        ended,
        bytes: () => bytes,
        async more(before) {
          while (bytes <= before) await new Promise((next) => answer.once('data', next));
        },
        close: () => asked.destroy(),
      };
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function told(signal: NodeJS.Signals, message: string): Promise<void> {
  const times = gateway.stderr().split(message).length;
  gateway.kill(signal);
  for (let waited = 0; waited < 5000; waited += 20) {
    if (gateway.stderr().split(message).length > times) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`no ${message} within 5 s:\n${gateway.stderr()}`);
}

function gatewayYaml(port: number): string {
  return `listen: { address: 127.0.0.1 }
routes:
  - match: { pathPrefix: /orders }
    upstream: { url: 'https://127.0.0.1:${port}', spiffeId: ${id('orders')} }
`;
}

function policyOf(...names: string[]): string {
  const principals = names.map((name) => `example.com/${name}`).join(', ');
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: callers }
spec:
  action: ALLOW
  rules: [{ from: [{ source: { principals: [${principals}] } }] }]
`;
}
