import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf, systemClock } from '@countersign/base';
import { expectSpiffeId, mtlsConnector } from '@countersign/mtls';
import { Agent } from 'undici';
import { idOf, startFleet } from './fleet.ts';

const ratePerSecond = 200;
const seconds = 60;

test('200 requests a second for a minute, certificates of 20 s on every side: none fails', async (t) => {
  const fleet = await startFleet({
    validity: '20s',
    upstream: (_request, response) => response.end('ok'),
  });
  t.after(() => fleet.end());
  const caller = await fleet.workload('caller');
  const agent = new Agent({
    connections: 16,
    connect: mtlsConnector({
      ...{ svids: caller, bundles: caller, clock: systemClock },
      expect: expectSpiffeId(idOf('gateway')),
    }),
  });
  t.after(() => agent.close());
  const origin = fleet.gatewayUrl.replace('https:', 'http:');

  const failures = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  let sent = 0;
  const began = systemClock.monotonic();
  while (systemClock.monotonic() - began < seconds * 1000) {
    const due = ((systemClock.monotonic() - began) / 1000) * ratePerSecond;
    for (; sent < due; sent += 1) {
      const request = one();
      pending.add(request);
      request.finally(() => pending.delete(request));
    }
    await systemClock.sleep(5);
  }
  await Promise.all(pending);

  const { renewals, failures: failedRenewals } = caller.stats();
  t.diagnostic(`${sent} requests sent, the caller renewed ${renewals} times`);
  assert.deepEqual([...failures], []);
  assert.ok(sent >= ratePerSecond * seconds * 0.95, `only ${sent} requests were sent`);
  assert.ok(renewals >= 4, `the caller renewed ${renewals} times only`);
  assert.equal(failedRenewals, 0);

  async function one(): Promise<void> {
    try {
      const { statusCode, body } = await agent.request({ origin, path: '/', method: 'GET' });
      const text = await body.text();
      if (statusCode !== 200) count(`${statusCode} ${text}`);
    } catch (thrown) {
      count(messageOf(thrown));
    }
  }

  function count(reason: string): void {
    failures.set(reason, (failures.get(reason) ?? 0) + 1);
  }
});
