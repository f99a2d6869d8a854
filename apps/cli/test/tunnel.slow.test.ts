import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { parseProxyHeader } from '@countersign/mtls';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

let directory = '';
let authority: Started;
const file = (name: string) => join(directory, name);
const state = () => ['--data', file('state')];
const ours = (name: string) => ['--identity', file(name), '--ca', authority.urls[0] ?? ''];
const pem = (name: string) => [
  ...['--cert', file(`${name}/chain.pem`), '--key', file(`${name}/key.pem`)],
  ...['--cacert', file(`${name}/bundle.pem`)],
];

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
  const config = ['--config', file('ca.yaml')];
  assert.equal((await countersign(['init', ...config, ...state()])).code, 0);
  authority = await startCountersign(t as never, [
    ...['ca', 'serve', ...config, ...state(), '--port', '0'],
  ]);
  for (const name of ['db', 'ns/prod/shop', 'ns/prod/billing', 'mallory']) await issue(name);
});
after(() => authority?.kill('SIGKILL'));

test('two tunnels join two programs that know nothing of TLS, and a revoked one loses what it has', async (t) => {
  const target = file('db.sock');
  await serveEcho(t, target);
  const server = await startTunnel(t, 'server', [
    ...['--target', `unix:${target}`, '--allow-uri', id('ns/*/*'), ...ours('db')],
    ...['--status', `unix:${file('admin.sock')}`],
  ]);
  const admin = ['--admin', `unix:${file('admin.sock')}`];
  const listen = ['--listen', '127.0.0.1:0', '--target', addressOf(server)];
  const clientOf = (name: string) =>
    startTunnel(t, 'client', [...listen, '--verify-uri', id('db'), ...ours(name)]);
  const local = file('shop.sock');
  const shop = await startCountersign(t, [
    ...['tunnel', 'client', '--listen', `unix:${local}`, '--target', addressOf(server)],
    ...['--verify-uri', id('db'), ...ours('ns/prod/shop')],
  ]);
  assert.deepEqual(shop.urls, [`unix:${local}`]);
  const [billing, mallory] = [await clientOf('ns/prod/billing'), await clientOf('mallory')];
  const [first, innocent] = [connect(local), connectTo(billing)];
  assert.equal(await say(first, 'one'), 'one');
  assert.equal(await say(innocent, 'two'), 'two');
  assert.equal(await lastOf(connectTo(mallory)), '', 'whom no flag is for');
  const wrong = await startTunnel(t, 'client', [
    ...[...listen, '--verify-uri', id('other'), ...ours('ns/prod/billing')],
  ]);
  assert.equal(await lastOf(connectTo(wrong)), '', 'a server that is another');
  assert.match((await wrong.end()).stderr, /ERR_PEER_UNEXPECTED/);
  const ofShop = ['--spiffe-id', id('ns/prod/shop')];
  const shown = await countersign(['gateway', 'connections', ...admin, ...ofShop]);
  assert.match(
    shown.stdout,
    /^from spiffe:.*shop\n {2}127\.0\.0\.1:\d+ at tunnel, since .*\n {2}3 bytes in, 3 out/,
  );
  assert.match(shown.stdout, /1 in all/);
  const certs = await countersign(['gateway', 'certs', ...admin]);
  assert.match(certs.stdout, /^shows own: spiffe:.*\/db\n .*expires in[\s\S]*\nbelieves own\n/);
  const dump = await countersign(['gateway', 'config-dump', ...admin]);
  assert.match(dump.stdout, /^listener tunnel: .*require\nupstream target: .*db\.sock, clear text/);
  const gone = new Promise((resolve) => first.once('close', resolve));
  // The tunnel of the revoked one itself may not get its word through.
  const whom = ['--spiffe-id', id('ns/prod/shop'), '--wait', '2s'];
  const ran = await countersign(['revoke', ...state(), ...whom]);
  assert.match(ran.stdout, /acknowledged by|closed \d/, ran.stderr);
  await gone;
  assert.equal(await say(innocent, 'three'), 'three');
  assert.equal(await lastOf(connect(local)), '');
  innocent.destroy();
  const ended = await server.end();
  assert.equal(ended.code, 0);
  assert.match(ended.stderr, /ERR_PEER_REVOKED/);
});

test('with PEM files the name of the target counts, and the other side of TLS may be told to a target', async (t) => {
  const heard = await serveHeaders(t);
  const target = ['--target', `127.0.0.1:${heard.port}`];
  const allow = ['--allow-dns', 'SHOP.prod.example.com', '--allow-ou', 'nobody'];
  const server = await startTunnel(t, 'server', [
    ...[...target, ...pem('db'), ...allow, '--proxy-protocol-mode', 'tls-full'],
  ]);
  const to = ['--listen', 'localhost:0', '--target', addressOf(server)];
  const shop = await startTunnel(t, 'client', [...to, ...pem('ns/prod/shop')]);
  const socket = connectTo(shop);
  socket.end('x');
  const told = await heard.next();
  assert.equal(told?.tls?.spiffeId, id('ns/prod/shop'));
  const named = (name: string) =>
    startTunnel(t, 'client', [...to, ...pem('ns/prod/shop'), '--override-server-name', name]);
  assert.equal(await lastOf(connectTo(await named('other.prod.example.com'))), '');
  connectTo(await named('db.prod.example.com')).end('y');
  assert.equal((await heard.next())?.tls?.serverName, 'db.prod.example.com');
  const open = await startTunnel(t, 'server', [
    ...[...target, ...pem('db'), '--disable-authentication', '--proxy-protocol'],
    ...['--close-timeout', '0'],
  ]);
  const bare = await startTunnel(t, 'client', [
    ...['--listen', 'localhost:0', '--target', addressOf(open), '--disable-authentication'],
    ...['--cacert', file('db/bundle.pem')],
  ]);
  connectTo(bare).end('z');
  assert.equal((await heard.next())?.tls, undefined);
});

async function issue(name: string): Promise<void> {
  const dns = `${name.split('/').at(-1)}.prod.example.com`;
  const names = ['--spiffe-id', id(name), '--dns', dns, '--ip', '127.0.0.1'];
  const ran = await countersign(['issue', ...state(), ...names, '--out', file(name)]);
  assert.equal(ran.code, 0, ran.stderr);
}

function startTunnel(t: TestContext, mode: 'server' | 'client', words: readonly string[]) {
  const listen = words.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  return startCountersign(t, ['tunnel', mode, ...listen, ...words]);
}

function addressOf({ urls }: Started): string {
  return new URL(urls[0] ?? '').host;
}

function connectTo(started: Started): Socket {
  const { hostname, port } = new URL(started.urls[0] ?? '');
  return connect(Number(port), hostname.replace(/^\[(.*)\]$/, '$1'));
}

async function say(socket: Socket, text: string): Promise<string> {
  socket.on('error', () => {});
  socket.write(text);
  const [chunk] = await once(socket, 'data');
  return String(chunk);
}

/** What comes until the other side ends or breaks off. */
async function lastOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('let me in');
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

async function serveEcho(t: TestContext, path: string): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
}

/** The PROXY header of each connection in turn. */
async function serveHeaders(t: TestContext) {
  const heads: ReturnType<typeof parseProxyHeader>[] = [];
  let told: (() => void) | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (chunk: Buffer) => {
      const length = 16 + chunk.readUInt16BE(14);
      heads.push(parseProxyHeader(chunk.subarray(0, length)));
      socket.end();
      told?.();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    async next() {
      if (heads.length === 0) await new Promise<void>((resolve) => (told = resolve));
      return heads.shift();
    },
  };
}
