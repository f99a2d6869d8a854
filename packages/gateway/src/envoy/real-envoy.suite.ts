import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const envoy = join(homedir(), '.cache', 'countersign-foreign', 'envoy', 'bin', 'envoy');
/** Why tests with a real Envoy are passed over; false where they are not. */
export const envoyMissing = existsSync(envoy) ? false : 'no Envoy: see .ci/foreign-tools';

/** Runs an Envoy until the end of the test. @param port of one of its listeners, which is waited for */
export async function startEnvoy(
  t: TestContext,
  bootstrap: object,
  directory: string,
  port: number,
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
    if (await isOpen(port)) return;
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
