import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { compileRules } from '@countersign/authz';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { parseConfigText } from '@countersign/config';
import { neverRevoked } from '@countersign/spiffe';
import { freePort } from '@countersign/testkit';
import { gatewayConfigOf } from '../gateway-config.ts';
import { startGateway } from '../start-gateway.ts';
import { answers, numberedUpstreams } from '../upstream-world.suite.ts';
import { compileEnvoy } from './compile-envoy.ts';
import { envoyMissing, startEnvoy } from './real-envoy.suite.ts';

const manager =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const router = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

interface Written {
  readonly name: string;
  readonly ports: readonly number[];
  readonly weights?: readonly number[];
  readonly cluster: object;
  readonly route?: object;
}

/** A listener in clear text, and a cluster for each path. */
function bootstrapOf(port: number, clusters: readonly Written[]): object {
  const routes = clusters.map(({ name, route }) => ({
    ...{ match: { prefix: `/${name}/` }, route: { cluster: name, ...route } },
  }));
  const address = (port_value: number) => ({
    socket_address: { address: '127.0.0.1', port_value },
  });
  const config = {
    '@type': manager,
    ...{
      stat_prefix: 'http',
      http_filters: [{ name: 'router', typed_config: { '@type': router } }],
    },
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
  };
  return {
    static_resources: {
      listeners: [
        {
          ...{ name: 'clear', address: address(port) },
          filter_chains: [{ filters: [{ name: 'http', typed_config: config }] }],
        },
      ],
      clusters: clusters.map(({ name, ports, weights, cluster }) => ({
        ...{ name, connect_timeout: '5s', ...cluster },
        load_assignment: {
          cluster_name: name,
          endpoints: [
            {
              lb_endpoints: ports.map((each, i) => ({
                endpoint: { address: address(each) },
                load_balancing_weight: weights?.[i] ?? 1,
              })),
            },
          ],
        },
      })),
    },
  };
}

async function startBoth(t: TestContext, clusters: readonly Written[]) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-balancing-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const envoyPort = await freePort();
  await startEnvoy(t, bootstrapOf(envoyPort, clusters), directory, envoyPort);
  const text = JSON.stringify(bootstrapOf(0, clusters));
  const { model } = compileEnvoy(parseConfigText(text, 'envoy.json'));
  const gateway = await startGateway({
    ...{ config: gatewayConfigOf(model), rules: compileRules([]), revocation: neverRevoked },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => gateway.close());
  return { theirs: `http://127.0.0.1:${envoyPort}`, ours: gateway.url };
}

test('ours and a real Envoy send every caller to the same endpoint', {
  skip: envoyMissing,
}, async (t) => {
  const { ports } = await numberedUpstreams(t, 4);
  const header = [{ header: { header_name: 'x-user' } }];
  const several = [...header, { query_parameter: { name: 'cart' } }, { cookie: { name: 'to' } }];
  const cluster = { lb_policy: 'RING_HASH' };
  const { theirs, ours } = await startBoth(t, [
    { name: 'even', ports, cluster, route: { hash_policy: header } },
    { name: 'weighed', ports, weights: [1, 2, 3, 10], cluster, route: { hash_policy: several } },
    {
      ...{ name: 'small', ports, route: { hash_policy: several } },
      cluster: { ...cluster, ring_hash_lb_config: { minimum_ring_size: 16 } },
    },
  ]);
  const wrong: string[] = [];
  for (const name of ['even', 'weighed', 'small']) {
    const seen = new Set<string>();
    for (let n = 0; n < 100; n += 1) {
      const path = `/${name}/?cart=${n % 7}`;
      const headers = { 'x-user': `user-${n}-${'long'.repeat(n % 12)}`, cookie: `to=${n % 5}` };
      const [a = '', b] = await Promise.all(
        [theirs, ours].map(async (url) => (await fetch(url + path, { headers })).text()),
      );
      seen.add(a);
      if (a !== b) wrong.push(`${name} ${n}: theirs ${a}, ours ${b}`);
    }
    assert.equal(seen.size, 4);
  }
  assert.deepEqual(wrong, []);
});

test('ours and a real Envoy eject the same endpoints', { skip: envoyMissing }, async (t) => {
  const { ports, answering } = await numberedUpstreams(t, 4);
  answering.set(0, answers(500));
  answering.set(1, answers(503));
  answering.set(2, (response) => response.destroy());
  const of = (name: string, outlier: object): Written => ({
    ...{ name, ports },
    cluster: {
      outlier_detection: { interval: '30s', base_ejection_time: '300s', ...outlier },
      common_lb_config: { healthy_panic_threshold: { value: 0 }, update_merge_window: '0s' },
    },
  });
  const twice = { consecutive_5xx: 2 };
  const cases: readonly Written[] = [
    of('none', { ...twice, max_ejection_percent: 10 }),
    of('one', { ...twice, max_ejection_percent: 10, always_eject_one_host: true }),
    of('quarter', { ...twice, max_ejection_percent: 25 }),
    of('half', { ...twice, max_ejection_percent: 50 }),
    of('most', { ...twice, max_ejection_percent: 80 }),
    of('gateway', {
      ...{ consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100 },
      ...{ enforcing_consecutive_5xx: 0, max_ejection_percent: 100 },
    }),
    of('local', {
      ...{ consecutive_local_origin_failure: 2, split_external_local_origin_errors: true },
      ...{ enforcing_consecutive_5xx: 0, max_ejection_percent: 100 },
    }),
  ];
  const { theirs, ours } = await startBoth(t, cases);
  const post = { method: 'POST', body: 'once' };
  const asked: Record<string, Record<string, number>> = {};
  for (const { name } of cases) {
    for (const [who, url] of Object.entries({ theirs, ours })) {
      // What is not safe to be sent again is not. Whole rounds, so that each has had as many as it needs.
      for (let n = 0; n < 24; n += 1) await (await fetch(`${url}/${name}/`, post)).text();
      let failures = 0;
      for (let n = 0; n < 12; n += 1) {
        const response = await fetch(`${url}/${name}/`, post);
        await response.text();
        if (response.status !== 200) failures += 1;
      }
      asked[name] = { ...asked[name], [who]: failures };
    }
  }
  t.diagnostic(JSON.stringify(asked));
  for (const [name, { theirs: a, ours: b }] of Object.entries(asked)) assert.equal(b, a, name);
  // Not all alike, or nothing was compared.
  assert.ok(new Set(Object.values(asked).map((each) => each.theirs)).size >= 3);
});
