import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openKernel } from './kernel.ts';
import { processOfSocket } from './peer-process.ts';

const skip = process.platform === 'linux' ? false : 'the agent runs on Linux alone';

test('a process lives on while signals interrupt whoever asks, such as those of a profiler', {
  skip,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-kernel-'));
  const server = createServer();
  server.listen(join(directory, 'socket'));
  await once(server, 'listening');
  const client = connect(join(directory, 'socket'));
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    accepted.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const found = processOfSocket(accepted, await openKernel());
  assert.ok(found.ok);
  assert.equal(found.process.pid, process.pid);
  const profiler = new Session();
  profiler.connect();
  await profiler.post('Profiler.enable');
  await profiler.post('Profiler.setSamplingInterval', { interval: 50 });
  await profiler.post('Profiler.start');
  let dead = 0;
  for (let i = 0; i < 300_000; i += 1) if (!found.process.isAlive()) dead += 1;
  await profiler.post('Profiler.stop');
  profiler.disconnect();
  found.process.release();
  assert.equal(dead, 0);
});
