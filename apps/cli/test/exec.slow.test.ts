import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { skipAgent, startAgentOfAuthority } from './agent-of-authority.ts';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { bin, countersign, startCountersign, temporaryDirectory } from './countersign.ts';

/** Says what it was given, then what happens to it, a line of JSON each. */
const witness = `
  const { readFileSync, statSync } = require('node:fs');
  const { X509Certificate, createPrivateKey } = require('node:crypto');
  const { COUNTERSIGN_KEY: key, COUNTERSIGN_CHAIN: chain, COUNTERSIGN_DIRECTORY: directory } = process.env;
  const look = (event) => {
    const certificate = new X509Certificate(readFileSync(chain));
    console.log(JSON.stringify({
      event, directory, pid: process.pid, args: process.argv.slice(1),
      serial: certificate.serialNumber,
      matches: certificate.checkPrivateKey(createPrivateKey(readFileSync(key))),
      modes: [directory, key, chain].map((path) => (statSync(path).mode & 0o777).toString(8)),
      id: process.env.COUNTERSIGN_SPIFFE_ID, other: process.env.OTHER_BUNDLE, text: process.env.KEY_TEXT,
    }));
  };
  for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => look(signal));
  process.on('SIGTERM', () => process.exit(7));
  setInterval(() => {}, 1000);
  look('start');`;

interface Seen {
  readonly event: string;
  readonly directory: string;
  readonly pid: number;
  readonly args: readonly string[];
  readonly serial: string;
  readonly matches: boolean;
  readonly modes: readonly string[];
  readonly id: string;
  readonly other?: string;
  readonly text?: string;
}

test('a program runs with fresh files and the signal that it asked for, and its end is that of exec', async (t) => {
  const { enrol } = await startAuthority(t);
  const identity = await enrol('payments', '8s');
  const run = startExec(t, [
    ...['--identity', identity, '--on-rotation', 'HUP', '--set', 'OTHER_BUNDLE=bundle'],
    ...['--', process.execPath, '-e', witness, '--', '-o', 'x y'],
  ]);
  const first = await run.next();
  assert.deepEqual(first.modes, ['700', '600', '600']);
  assert.deepEqual(first.args, ['-o', 'x y']);
  assert.equal(first.id, id('payments'));
  assert.equal(first.other, join(first.directory, 'bundle.pem'));
  const renewed = await run.next();
  assert.equal(renewed.event, 'SIGHUP');
  assert.equal(renewed.pid, first.pid);
  assert.notEqual(renewed.serial, first.serial);
  assert.ok(first.matches && renewed.matches);
  run.child.kill('SIGUSR2');
  assert.equal((await run.next()).event, 'SIGUSR2');
  run.child.kill('SIGTERM');
  assert.deepEqual(await once(run.child, 'exit'), [7, null]);
  assert.ok(!existsSync(first.directory));
});

test('a program that reads variables is started anew with the new text', async (t) => {
  const { enrol } = await startAuthority(t);
  const identity = await enrol('payments', '8s');
  const run = startExec(t, [
    ...['--identity', identity, '--set', 'KEY_TEXT=@key', '--', process.execPath, '-e', witness],
  ]);
  const first = await run.next();
  const second = await run.next();
  assert.deepEqual([first.event, second.event], ['start', 'start']);
  assert.notEqual(second.pid, first.pid);
  assert.match(first.text ?? '', /BEGIN PRIVATE KEY/);
  assert.notEqual(second.text, first.text);
  process.kill(second.pid, 'SIGKILL');
  assert.deepEqual(await once(run.child, 'exit'), [128 + 9, null]);
  assert.ok(!existsSync(second.directory));
});

test('what cannot be run is said in one line, and nothing is left', async (t) => {
  const { enrol, directory } = await startAuthority(t);
  const identity = await enrol('payments', '1h');
  const place = ['--directory', directory];
  const absent = await countersign([
    ...['exec', '--identity', identity, ...place, '--', join(directory, 'no-such-program')],
  ]);
  assert.equal(absent.code, 2);
  assert.equal(lastLine(absent.stderr), 'ERR_EXEC_PROGRAM');
  const failing = await countersign([
    ...['exec', '--identity', identity, ...place, '--', 'sh', '-c', 'exit 42'],
  ]);
  assert.equal(failing.code, 42, failing.stderr);
  const left = await import('node:fs/promises').then(({ readdir }) => readdir(directory));
  assert.deepEqual(
    left.filter((name) => name.startsWith('countersign-exec-')),
    [],
  );
  for (const words of [
    ['--set', 'X=kye'],
    ['--on-rotation', 'SIGFOO'],
    ['--set', 'X=@key', '--on-rotation', 'HUP'],
    ['--agent-socket', 'x', '--set', 'X=key'],
  ]) {
    const refused = await countersign(['exec', '--identity', identity, ...words, '--', 'true']);
    assert.equal(refused.code, 2, words.join(' '));
    assert.equal(lastLine(refused.stderr), 'ERR_USAGE');
  }
});

test('a program is given the socket of an agent that answers', async (t) => {
  const directory = await temporaryDirectory(t);
  const socket = join(directory, 'agent.sock');
  const none = await countersign(['exec', '--agent-socket', socket, '--', 'true']);
  assert.equal(none.code, 3);
  assert.equal(lastLine(none.stderr), 'ERR_EXEC_AGENT');
  const agent = createServer((connection) => connection.destroy());
  agent.listen(socket);
  await once(agent, 'listening');
  const tell = ['sh', '-c', 'echo $SPIFFE_ENDPOINT_SOCKET'];
  const told = await countersign(['exec', '--agent-socket', socket, '--', ...tell]);
  assert.deepEqual([told.code, told.stdout.trim()], [0, `unix://${socket}`]);
  agent.close();
});

test('an identity that the agent never gives is waited for so long, and what it gives is named', {
  skip: skipAgent,
}, async (t) => {
  const { file, run, state } = await startAgentOfAuthority(t);
  const selector = ['--selector', `unix:uid:${process.getuid?.()}`];
  const create = ['entry', 'create', ...state, '--agent', id('agent'), '--spiffe-id', id('given')];
  await run(...create, ...selector);
  const issuer = (name: string) =>
    writeFile(
      file('issuer.yaml'),
      `issuer: { workload_api: { socket: "${file('agent.sock')}", spiffe_id: "${id(name)}", wait: 3s } }\n`,
    );
  const exec = ['exec', '--issuer', file('issuer.yaml'), '--', 'sh', '-c'];
  await issuer('given');
  const told = await countersign([...exec, 'echo $COUNTERSIGN_SPIFFE_ID']);
  assert.deepEqual([told.code, told.stdout.trim()], [0, id('given')], told.stderr);
  const kept = await countersign([
    ...['exec', '--issuer', file('issuer.yaml'), '--identity', file('kept'), '--', 'true'],
  ]);
  assert.equal(kept.code, 2, kept.stderr);
  assert.match(kept.stderr, /workload_api gives it at each start, so that nothing is kept/);
  await issuer('never');
  const never = await countersign([...exec, 'echo ran']);
  assert.equal(never.code, 3, never.stderr);
  assert.equal(lastLine(never.stderr), 'ERR_IDENTITY_WORKLOAD_API');
  assert.ok(never.stderr.includes(`it gave "${id('given')}", expected "${id('never')}"`));
  assert.equal(never.stdout, '');
});

async function startAuthority(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const state = ['--data', join(directory, 'state')];
  const config = ['--config', join(directory, 'ca.yaml')];
  await writeFile(join(directory, 'ca.yaml'), authorityYaml());
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout.trim();
  };
  await run('init', ...config, ...state);
  const server = await startCountersign(t, ['ca', 'serve', ...config, ...state, '--port', '0']);
  return {
    directory,
    async enrol(name: string, ttl: string) {
      const token = await run('token', 'create', ...state, '--spiffe-id', id(name));
      const out = join(directory, name);
      const order = ['--ca', server.urls[0] ?? '', '--token', token, '--ttl', ttl];
      await run('enrol', ...order, '--out', out);
      return out;
    },
  };
}

function startExec(t: TestContext, words: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [bin, 'exec', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGTERM'));
  const lines: Seen[] = [];
  let stderr = '';
  let rest = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdout?.on('data', (chunk) => {
    const parts = `${rest}${chunk}`.split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) lines.push(JSON.parse(line) as Seen);
    child.emit('seen');
  });
  return {
    child,
    async next(): Promise<Seen> {
      const signal = AbortSignal.timeout(30_000);
      while (lines.length === 0) {
        await once(child, 'seen', { signal }).catch((thrown) => {
          throw new Error(`nothing was said: ${stderr}`, { cause: thrown });
        });
      }
      return lines.shift() as Seen;
    },
  };
}
