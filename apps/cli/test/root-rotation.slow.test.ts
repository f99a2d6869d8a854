import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import type { RotatingIdentity } from '@countersign/identity';
import { createMtlsListener, dialMtls, expectSpiffeId, type MtlsListener } from '@countersign/mtls';
import type { RotationRequest, RotationResponse } from '@countersign/wire';
import { type Fleet, idOf, startFleet } from './fleet.ts';

/** Servers and clients of which some have heard of the newest bundle and some have not. */
const servers = 3;
const clients = 4;
const rounds = 3;
const patienceMs = 120_000;

describe('the root, replaced three times in a row under load', () => {
  let fleet: Fleet;
  const listeners: MtlsListener[] = [];
  const failures: string[] = [];
  let handshakes = 0;
  let running = true;
  const loops: Promise<void>[] = [];

  before(async () => {
    fleet = await startFleet({
      validity: '40s',
      api: 'bundleRefresh: 5s',
      upstream: (_, response) => response.end('ok'),
    });
  });
  after(async () => {
    running = false;
    await Promise.all(loops);
    await Promise.all(listeners.map((each) => each.close(0)));
    await fleet.end();
  });

  const rotate = (step: RotationRequest['step'], more: Partial<RotationRequest> = {}) =>
    fleet.operator.rotate({ step, authority: 'root', ...more });

  /** Until a step is not refused for who lacks or leads to something: renewals and time see to it. */
  async function whenPossible(step: 'activate' | 'retire'): Promise<RotationResponse> {
    const deadline = systemClock.monotonic() + patienceMs;
    for (;;) {
      try {
        return await rotate(step);
      } catch (thrown) {
        const { code } = thrown as { code?: string };
        const isWaiting = code === 'ERR_ROTATION_UPTAKE' || code === 'ERR_ROTATION_LIVE';
        if (!isWaiting || systemClock.monotonic() > deadline) throw thrown;
        await systemClock.sleep(500);
      }
    }
  }

  async function serve(name: string): Promise<number> {
    const identity = await fleet.workload(name);
    const listener = createMtlsListener({
      ...{ name, svids: identity, bundles: identity, clientAuth: 'require' },
      ...{ clock: systemClock, log: noLog, meter: noMeter },
      onConnection: (socket) => socket.end('hello'),
      onRefused: (_, refusal) =>
        failures.push(`${name} refused: ${refusal.code} ${refusal.detail}`),
    });
    listeners.push(listener);
    return (await listener.listen(0, '127.0.0.1')).port;
  }

  async function dialAll(client: RotatingIdentity, ports: readonly number[]): Promise<void> {
    while (running) {
      for (const [i, port] of ports.entries()) {
        try {
          const { socket } = await dialMtls({
            ...{ host: '127.0.0.1', port, svids: client, bundles: client, clock: systemClock },
            expect: expectSpiffeId(idOf(`server-${i}`)),
          });
          let said = '';
          socket.setEncoding('utf8');
          socket.on('data', (part: string) => {
            said += part;
          });
          await once(socket, 'close');
          if (said !== 'hello') failures.push(`server-${i} hung up`);
          handshakes += 1;
        } catch (thrown) {
          failures.push(String(thrown));
        }
      }
      await systemClock.sleep(20);
    }
  }

  it('fails no handshake, and waits for a laggard by name', { timeout: 600_000 }, async (t) => {
    const ports: number[] = [];
    for (let i = 0; i < servers; i += 1) ports.push(await serve(`server-${i}`));
    for (let i = 0; i < clients; i += 1) {
      loops.push(dialAll(await fleet.workload(`client-${i}`), ports));
    }
    const roots = new Set<string>();
    for (let round = 1; round <= rounds; round += 1) {
      // 1. One who is held back on purpose: it neither renews nor looks for the bundle.
      const laggard = await fleet.workload(`laggard-${round}`, { isStatic: true });
      const prepared = await rotate('prepare');
      assert.equal(prepared.anchors.length, 2);
      assert.ok(prepared.uptake !== undefined && prepared.uptake.holding < prepared.uptake.holders);

      // 2. Everybody else takes the new bundle up by itself; then the laggard alone is in the way.
      await until(async () => {
        const { uptake } = await rotate('show');
        return uptake?.lacking.every(({ name }) => name === idOf(`laggard-${round}`)) === true;
      });
      await assert.rejects(rotate('activate'), {
        code: 'ERR_ROTATION_UPTAKE',
        message: new RegExp(`"${idOf(`laggard-${round}`)}" lack it`),
      });

      // 3. Clients with every age of bundle: one that is enrolled now, the laggard, and those that renew.
      loops.push(dialAll(await fleet.workload(`late-${round}`), ports));
      const forced = round % 2 === 0;
      if (forced) {
        const before = failures.length;
        await rotate('activate', { force: true });
        await dialOnce(laggard, ports);
        assert.deepEqual(failures.slice(before), []);
      } else await whenPossible('activate');
      roots.add((await fleet.operator.status()).rootFingerprint);

      // 4. The old one goes once nothing leads to it.
      await assert.rejects(rotate('retire'), { code: 'ERR_ROTATION_LIVE' });
      const { generations, anchors } = await whenPossible('retire');
      assert.equal(anchors.length, 1);
      assert.deepEqual(
        generations.map(({ phase }) => phase),
        [...Array.from({ length: round }, () => 'retired'), 'active'],
      );
    }
    const { length } = failures;
    t.diagnostic(JSON.stringify({ handshakes, failures: length }));
    assert.deepEqual(failures.slice(0, 5), []);
    assert.equal(roots.size, rounds);
    assert.ok(handshakes > 100, `${handshakes}`);
  });

  /** A workload with an old bundle is as good a client, and is served by those who have the new root. */
  async function dialOnce(client: RotatingIdentity, ports: readonly number[]): Promise<void> {
    for (const [i, port] of ports.entries()) {
      const { socket } = await dialMtls({
        ...{ host: '127.0.0.1', port, svids: client, bundles: client, clock: systemClock },
        expect: expectSpiffeId(idOf(`server-${i}`)),
      });
      socket.resume();
      await once(socket, 'close');
      handshakes += 1;
    }
  }

  async function until(is: () => Promise<boolean>): Promise<void> {
    const deadline = systemClock.monotonic() + patienceMs;
    while (!(await is())) {
      assert.ok(systemClock.monotonic() < deadline, 'did not come about');
      await systemClock.sleep(300);
    }
  }
});
