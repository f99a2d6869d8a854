import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { table } from './bootstrap-table.suite.ts';
import {
  askOf,
  type BootstrapWorld,
  bootstrapWorld,
  expectedHandshake,
  handshakeOf,
  wrongWith,
} from './bootstrap-world.suite.ts';

const envoy = join(homedir(), '.cache', 'countersign-foreign', 'envoy', 'bin', 'envoy');
const skip = existsSync(envoy) ? false : 'no Envoy: see .ci/foreign-tools';

test('a real Envoy does with the same bootstrap what ours is held to', { skip }, async (t) => {
  const world = await bootstrapWorld(t);
  await startEnvoy(t, world);
  const probe = { name: 'probe', listener: 'clear', path: '/nothing', expect: 404 } as const;
  assert.equal((await askOf(world.ports, probe)).headers.server, 'envoy');
  assert.equal(await handshakeOf(world.ports.edge, 'a.simple.test'), expectedHandshake);
  const wrong: string[] = [];
  for (const asked of table) {
    const found = wrongWith(asked, await askOf(world.ports, asked));
    if (found !== undefined) wrong.push(`${asked.name}: ${found}`);
  }
  t.diagnostic(`${table.length} requests, each by a connection of its own`);
  assert.deepEqual(wrong, []);
});

async function startEnvoy(
  t: TestContext,
  { bootstrap, directory, ports }: BootstrapWorld,
): Promise<void> {
  const file = join(directory, 'envoy.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const words = ['-c', file, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'warning'];
  const child = spawn(envoy, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  for (let tries = 0; tries < 300; tries += 1) {
    assert.equal(child.exitCode, null, said);
    if (await isOpen(ports.tunnel)) return;
    await sleep(100);
  }
  assert.fail(said);
}

async function isOpen(port: number): Promise<boolean> {
  const socket = net.connect({ port, host: '127.0.0.1' });
  const opened = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return opened;
}
