import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

/*
 * Each kind of revocation, ordered on the command line and enforced by a real gateway; and every time, somebody whom it
 * does not concern goes on.
 */

let directory = '';
let authority: Started;
let gateway: Started;
const stop: (() => void)[] = [];
const file = (name: string) => join(directory, name);
const state = () => ['--data', file('state')];

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), caYaml());
  const config = ['--config', file('ca.yaml')];
  assert.equal((await countersign(['init', ...config, ...state()])).code, 0);
  const serve = ['ca', 'serve', ...config, ...state(), '--port', '0'];
  authority = await startCountersign(t as never, serve);
  stop.push(() => authority.kill('SIGKILL'));
  await issue([], ['upstream'], ['shop'], ['agent'], ['held'], ['leaked'], ['one', 'ns/a/one']);
  await issue([], ['two', 'ns/ab/two'], ['batch', 'batch', { issuer: 'batch' }]);
  const agent = ['--ca', authority.urls[0]!, '--identity', file('agent')];
  await issue(agent, ['hired'], ['late']);
  const token = await countersign(['token', 'create', ...state(), '--spiffe-id', id('gateway')]);
  await writeFile(file('token.txt'), token.stdout);
  await writeFile(file('gateway.yaml'), gatewayYaml(await startUpstream()));
  gateway = await startCountersign(t as never, [
    ...['gateway', '--config', file('gateway.yaml'), '--identity', file('gateway')],
    ...['--ca', authority.urls[0]!, '--token', `@${file('token.txt')}`, '--port', '0'],
  ]);
  stop.push(() => gateway.kill('SIGKILL'));
});
after(() => {
  for (const each of stop) each();
});

test('a dry run says how many connections the gateway would cut, and cuts none of them', async () => {
  const stream = await open('one');
  const { stdout } = await revoke('--spiffe-prefix', id('ns/a'), '--dry-run');
  assert.match(
    stdout,
    /^would revoke spiffe-prefix spiffe:\/\/example\.com\/ns\/a\/ .*1 unexpired/,
  );
  assert.match(stdout, /would close 1 connection on 1 gateway/);
  await stream.more();
  stream.close();
});

test('by prefix, open streams below it are cut, and a name that only begins alike is let alone', async () => {
  const [one, two] = await Promise.all([open('one'), open('two')]);
  const { stdout } = await revoke('--spiffe-prefix', id('ns/a/'), '--reason', 'superseded');
  assert.match(stdout, /closed [1-9]\d* connections? on 1 gateway/);
  await one.ended;
  await two.more();
  two.close();
  await refused('one');
});

test('by provisioner, what it vouched for is cut by serial numbers that the feed told', async () => {
  const [hired, shop] = await Promise.all([open('hired'), open('shop')]);
  await revoke('--provisioner', id('agent'));
  await hired.ended;
  await refused('late');
  await shop.more();
  shop.close();
});

test('by issuer, what the named intermediate signed is refused, and everybody else is not', async () => {
  const batch = await open('batch');
  await revoke('--issuer', 'batch', '--reason', 'cACompromise');
  await batch.ended;
  await refused('batch');
  assert.equal((await get('shop')).status, 200);
  const again = [
    'issue',
    ...state(),
    '--issuer',
    'batch',
    '--spiffe-id',
    id('b'),
    '--out',
    file('b'),
  ];
  assert.match(
    (await countersign(again)).stderr,
    /"batch" signs nothing: it is revoked[\s\S]*ERR_ROTATION_NO_ISSUER/,
  );
});

test('on hold a peer is cut and refused; released it is let in again, and a release of no hold is refused', async () => {
  const stream = await open('held');
  const serial = ['--serial', await serialOf('held')];
  await revoke(...serial, '--reason', 'certificateHold');
  await stream.ended;
  await refused('held');
  const released = await revoke(...serial, '--release');
  assert.match(released.stdout, /^released serial/);
  assert.equal((await get('held')).status, 200);
  const again = await countersign(['revoke', ...state(), ...serial, '--release']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /it is not on hold[\s\S]*ERR_LEDGER_NOT_HELD/);
});

test('whoever holds the key of a certificate revokes it with that alone, and with no other key', async () => {
  const cert = ['--ca', authority.urls[0]!, '--cert', file('leaked/cert.pem')];
  const wrong = await countersign(['revoke', ...cert, '--key', `@${file('shop/key.pem')}`]);
  assert.equal(wrong.code, 2);
  const stream = await open('leaked');
  const done = await countersign(['revoke', ...cert, '--key', `@${file('leaked/key.pem')}`]);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^revoked key [0-9a-f]{64} \(keyCompromise\): 1 unexpired/);
  await stream.ended;
  await refused('leaked');
});

test('the whole trust domain is revoked only where that is said, and by time alone too', async () => {
  for (const wide of [
    ['--spiffe-prefix', 'spiffe://example.com/'],
    ['--issued-after', '2020-01-01T00:00:00Z'],
  ]) {
    const { code, stderr } = await countersign(['revoke', ...state(), ...wide]);
    assert.equal(code, 2);
    assert.match(stderr, /covers the whole trust domain[\s\S]*ERR_REVOKE_WHOLE_DOMAIN/);
  }
  assert.equal((await get('shop')).status, 200);
  const before = ['--issued-before', '2020-01-01T00:00:00Z', '--whole-trust-domain'];
  assert.match((await revoke(...before)).stdout, /: 0 unexpired certificates/);
  assert.equal((await get('shop')).status, 200);
});

async function revoke(...words: string[]) {
  const done = await countersign(['revoke', ...state(), ...words]);
  assert.equal(done.code, 0, `${done.stdout}${done.stderr}`);
  return done;
}

async function issue(right: string[], ...orders: [name: string, path?: string, more?: object][]) {
  const lines = orders.map(([name, path = name, more = {}]) =>
    JSON.stringify({ name, spiffeId: id(path), ...more }),
  );
  await writeFile(file('orders.jsonl'), lines.join('\n'));
  const by = right.length === 0 ? state() : right;
  const batch = ['--batch', file('orders.jsonl'), '--out', directory];
  const { code, stderr } = await countersign(['issue', ...by, ...batch]);
  assert.equal(code, 0, stderr);
}

async function serialOf(name: string): Promise<string> {
  const shown = await countersign(['inspect', '-o', 'json', file(`${name}/cert.pem`)]);
  return /"serial": ?"([0-9a-f:]+)"/i.exec(shown.stdout)?.[1] ?? assert.fail(shown.stdout);
}

async function refused(name: string): Promise<void> {
  const { status, body } = await get(name);
  assert.equal(status, 403);
  assert.equal(JSON.parse(body).code, 'ERR_PEER_REVOKED');
}

async function credentials(name: string) {
  const read = (part: string) => readFile(file(join(name, part)));
  const parts = ['key.pem', 'chain.pem', 'bundle.pem'];
  const [key, cert, ca] = await Promise.all(parts.map(read));
  return { key, cert, ca };
}

async function ask(name: string, path: string) {
  const { hostname: host, port } = new URL(gateway.urls[0]!);
  const own = { ...(await credentials(name)), checkServerIdentity: () => undefined };
  return request({ ...own, host, port, path, agent: false });
}

async function get(name: string): Promise<{ status: number; body: string }> {
  const asked = await ask(name, '/');
  return new Promise((resolve, reject) => {
    asked.on('error', reject);
    asked.on('response', (answer) => {
      let body = '';
      answer.on('data', (chunk) => {
        body += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    asked.end();
  });
}

interface OpenStream {
  readonly ended: Promise<void>;
  /** Resolves at the next bytes. */
  more(): Promise<void>;
  close(): void;
}

async function open(name: string): Promise<OpenStream> {
  const asked = await ask(name, '/stream');
  return new Promise((resolve, reject) => {
    asked.on('error', reject);
    asked.on('response', (answer) => {
      answer.on('error', () => {});
      const ended = new Promise<void>((closed) => answer.on('close', closed));
      const more = () => new Promise<void>((next) => answer.once('data', () => next()));
      void more().then(() => resolve({ ended, more, close: () => asked.destroy() }));
    });
    asked.end();
  });
}

async function startUpstream(): Promise<number> {
  const server = createServer(
    { ...(await credentials('upstream')), requestCert: true, rejectUnauthorized: false },
    (asked, answer) => {
      answer.writeHead(200, { 'content-type': 'text/plain' });
      if (asked.url !== '/stream') return void answer.end('served');
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

function caYaml(): string {
  const batch = '    batch: { curve: P-256, validity: 168h }\nservice_certificates:';
  const yaml = authorityYaml().replace('service_certificates:', batch);
  return `${yaml}api: { registrars: [${id('agent')}] }\n`;
}

function gatewayYaml(port: number): string {
  return `listen: { address: 127.0.0.1 }
routes:
  - match: { pathPrefix: / }
    upstream: { url: 'https://127.0.0.1:${port}', spiffeId: ${id('upstream')} }
`;
}
