import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from './bootstrap-table.suite.ts';
import {
  askOf,
  bootstrapWorld,
  expectedHandshake,
  handshakeOf,
  wrongWith,
} from './bootstrap-world.suite.ts';
import { envoyMissing, startEnvoy } from './real-envoy.suite.ts';

test('a real Envoy does with the same bootstrap what ours is held to', {
  skip: envoyMissing,
}, async (t) => {
  const world = await bootstrapWorld(t);
  const { bootstrap, directory, ports } = world;
  await startEnvoy(t, bootstrap, directory, ports.tunnel);
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
