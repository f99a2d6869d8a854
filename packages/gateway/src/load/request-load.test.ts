import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { noLog } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import {
  alice,
  clientOf,
  credentialOf,
  echo,
  startUpstream,
  startWorld,
} from '../gateway-world.suite.ts';
import { LoopLateness } from './loop-lateness.ts';
import { RequestLoad } from './request-load.ts';

test('one identity has so many requests at a time over all of its connections, and others are not concerned', async (t) => {
  const held: ServerResponse[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/held') held.push(response);
    else echo(request, response);
  });
  const { gateway } = await startWorld(t, upstream.url, {
    yaml: 'limits: { maxRequestsPerIdentity: 2 }',
  });
  const [one, two] = [clientOf(t, gateway.url, alice), clientOf(t, gateway.url, alice)];
  const bob = clientOf(t, gateway.url, credentialOf('bob'));
  const waiting = [one.ask('/held'), two.ask('/held')];
  while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const third = await one.ask('/x');
  assert.equal(third.status, 429);
  assert.equal(third.headers['retry-after'], '1');
  assert.match(third.body, /ERR_GATEWAY_IDENTITY_BUSY/);
  assert.equal((await bob.ask('/x')).status, 200);
  for (const response of held) response.end();
  for (const each of waiting) assert.equal((await each).status, 200);
  assert.equal((await two.ask('/x')).status, 200);
});

test('a gateway that is late with its work turns some away, and more the later it is', () => {
  let late = 0;
  let drawn = 0;
  const load = new RequestLoad({
    ...{ maxPerIdentity: 1000, maxLatenessMs: 100 },
    ...{ latenessMs: () => late, random: () => drawn },
  });
  const peer = { kind: 'anonymous' } as const;
  const connection = { peer, facts: { remoteAddress: '192.0.2.1' } } as never;
  const isTaken = (lateMs: number, random: number) => {
    [late, drawn] = [lateMs, random];
    return load.begin(connection) === undefined;
  };
  assert.equal(isTaken(100, 0), true);
  assert.equal(isTaken(200, 0.49), false, 'half of them at twice as late');
  assert.equal(isTaken(200, 0.51), true);
  assert.equal(isTaken(1000, 0.89), false);
  assert.deepEqual(load.begin(connection)?.headers, [['Retry-After', '1']]);
});

test('a pause alone is no lateness', async () => {
  const clock = testClock();
  let now = 0;
  const wakes: (() => void)[] = [];
  const lateness = new LoopLateness({
    ...clock,
    monotonic: () => now,
    sleep: () => new Promise<void>((resolve) => wakes.push(resolve)),
  });
  const wakeAfter = async (ms: number) => {
    now += ms;
    wakes.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (const ms of [50, 50, 5050]) await wakeAfter(ms);
  assert.equal(lateness.ms, 0);
  await wakeAfter(350);
  await wakeAfter(450);
  assert.equal(lateness.ms, 300);
  lateness.stop();
});

test('only so many handshakes are under way, and whoever has finished theirs is served all the same', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url, {
    yaml: 'limits: { maxHandshakes: 3 }',
    log: noLog,
  });
  const client = clientOf(t, gateway.url, alice);
  assert.equal((await client.ask('/x')).status, 200);
  const idle = [1, 2, 3].map(() => net.connect(gateway.port, '127.0.0.1'));
  for (const each of idle) {
    each.on('error', () => {});
    await once(each, 'connect');
  }
  const dropped = net.connect(gateway.port, '127.0.0.1');
  dropped.on('error', () => {});
  dropped.resume();
  await new Promise((resolve) => dropped.once('close', resolve));
  assert.equal((await client.ask('/x')).status, 200);
  idle[0]?.destroy();
  const later = clientOf(t, gateway.url, credentialOf('bob'));
  const ask = () => later.ask('/x').catch(() => undefined);
  while ((await ask())?.status !== 200) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const each of idle) each.destroy();
});
