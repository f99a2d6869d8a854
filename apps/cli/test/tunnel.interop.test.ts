import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { foreign, freePort, programOf } from '@countersign/testkit';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

const built = join(foreign, 'bin', 'ghostunnel');
const ghostunnel = existsSync(built) ? built : programOf('ghostunnel');
const redis = programOf('redis-server');
const missing = (name: string) => `no ${name} (run .ci/foreign-tools)`;

let directory = '';
const file = (name: string) => join(directory, name);
const state = () => ['--data', file('state')];
const pem = (name: string) => [
  ...['--cert', file(`${name}/chain.pem`), '--key', file(`${name}/key.pem`)],
  ...['--cacert', file(`${name}/bundle.pem`)],
];

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
  assert.equal((await countersign(['init', '--config', file('ca.yaml'), ...state()])).code, 0);
  for (const name of ['db', 'shop', 'mallory']) await issue(name);
});

test('ghostunnel goes in at our server and out at our client, and whom no flag is for does not', {
  skip: ghostunnel === undefined && missing('ghostunnel'),
}, async (t) => {
  const path = file('echo.sock');
  const echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  echo.listen(path);
  await once(echo, 'listening');
  t.after(() => echo.close());
  const ours = await startTunnel(t, 'server', [
    ...['--listen', '127.0.0.1:0', '--target', `unix:${path}`, ...pem('db')],
    ...['--allow-uri', id('shop')],
  ]);
  const theirs = await freePort();
  start(t, ghostunnel ?? '', [
    ...['server', '--listen', `127.0.0.1:${theirs}`, '--target', `unix:${path}`, ...pem('db')],
    ...['--allow-uri', id('shop')],
  ]);
  for (const [name, isAllowed] of [
    ['shop', true],
    ['mallory', false],
  ] as const) {
    const foreign = await freePort();
    start(t, ghostunnel ?? '', [
      ...['client', '--listen', `127.0.0.1:${foreign}`, '--target', addressOf(ours)],
      ...[...pem(name), '--verify-uri', id('db')],
    ]);
    assert.equal(await echoed(foreign), isAllowed ? 'hello' : '', `${name} by ghostunnel`);
    const own = await startTunnel(t, 'client', [
      ...['--listen', '127.0.0.1:0', '--target', `127.0.0.1:${theirs}`, ...pem(name)],
      ...['--verify-uri', id('db')],
    ]);
    const answer = await echoed(Number(new URL(own.urls[0] ?? '').port));
    assert.equal(answer, isAllowed ? 'hello' : '', `${name} by ours`);
  }
});

test('Redis is served through a rotation of both sides, on connections old and new', {
  skip: redis === undefined && missing('redis-server'),
}, async (t) => {
  const path = file('redis.sock');
  start(t, redis ?? '', [
    ...['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory],
  ]);
  const server = await startTunnel(t, 'server', [
    ...['--listen', '127.0.0.1:0', '--target', `unix:${path}`, ...pem('db')],
    ...['--allow-uri', id('shop'), '--status', '127.0.0.1:0'],
  ]);
  const client = await startTunnel(t, 'client', [
    ...['--listen', '127.0.0.1:0', '--target', addressOf(server), ...pem('shop')],
    ...['--verify-uri', id('db')],
  ]);
  const port = Number(new URL(client.urls[0] ?? '').port);
  const serialOf = async () => {
    const status = await (await fetch(`${server.urls[1]}/status`)).text();
    return /"certificates":\s*\[[^\]]*?"serial": "([0-9a-f]+)"/.exec(status)?.[1];
  };
  await until(async () => (await ask(connect(port), 'PING')) === '+PONG');
  const old = connect(port);
  let n = 0;
  const incremented = async (socket: Socket) => {
    n += 1;
    assert.equal(await ask(socket, 'INCR visits'), `:${n}`);
  };
  await incremented(old);
  const before = await serialOf();
  assert.ok(before !== undefined);
  await issue('db');
  await issue('shop');
  await until(async () => {
    await incremented(connect(port));
    return (await serialOf()) !== before;
  });
  await incremented(connect(port));
  await incremented(old);
  old.destroy();
});

async function issue(name: string): Promise<void> {
  const names = ['--spiffe-id', id(name), '--dns', `${name}.prod.example.com`, '--ip', '127.0.0.1'];
  const ran = await countersign(['issue', ...state(), ...names, '--out', file(name)]);
  assert.equal(ran.code, 0, ran.stderr);
}

function startTunnel(t: TestContext, mode: 'server' | 'client', words: readonly string[]) {
  return startCountersign(t, ['tunnel', mode, ...words], { timeoutMs: 240_000 });
}

function start(t: TestContext, program: string, words: readonly string[]): ChildProcess {
  const child = spawn(program, words, { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

function addressOf({ urls }: Started): string {
  return new URL(urls[0] ?? '').host;
}

/** What comes back; nothing where the connection ends first. A tunnel that does not listen yet is waited for. */
async function echoed(port: number): Promise<string> {
  for (const end = performance.now() + 30_000; ; ) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return answerTo(socket, 'hello');
    assert.ok(performance.now() < end, 'nobody listens');
    await wait(50);
  }
}

async function ask(socket: Socket, command: string): Promise<string> {
  return (await answerTo(socket, `${command}\r\n`)).trim();
}

function answerTo(socket: Socket, text: string): Promise<string> {
  socket.on('error', () => {});
  socket.write(text);
  return new Promise((resolve) => {
    socket.once('data', (chunk) => resolve(String(chunk)));
    socket.once('close', () => resolve(''));
  });
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await isSo()); ) {
    assert.ok(performance.now() < end, 'waited for too long');
    await wait(50);
  }
}
