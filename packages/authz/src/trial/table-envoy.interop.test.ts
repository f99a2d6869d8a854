import assert from 'node:assert/strict';
import { test } from 'node:test';
import { envoyFilters } from '../envoy/envoy-filters.ts';
import { type EnvoyListener, rbacConfig, skip, startEnvoy } from '../envoy/envoy-world.suite.ts';
import { parseIstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh, type MeshSettings, type PathNormalization } from '../policy/mesh-settings.ts';
import { gatewayNameLabel } from '../policy/policy-target.ts';
import { policyText } from '../policy/policy-text.suite.ts';
import type { TableRequest } from './authz-table.ts';
import { TableTrial } from './try-table.ts';

const id = 'spiffe://cluster.local/ns/prod/sa/web';
const source = '198.51.100.7';

const paths = [
  ...['/', '/a', '/a/', '/a/b', '/a/../admin', '/a/./b', '/a/%2e%2e/admin', '/%61dmin', '/admin'],
  ...['/admin/', '/admin;x', '/admin/..;/x', '/x/..;/admin', '/x/..;y/admin', '/admin%2fx'],
  ...[
    '/admin%5cx',
    '/admin\\x',
    '/x\\..\\admin',
    '//admin',
    '/a//b',
    '/a%2f..%2fadmin',
    '/admin?q',
  ],
  ...[
    '/?/admin',
    '/ADMIN',
    '/admin%00',
    '/t/a',
    '/t/',
    '/t',
    '/t/a/b',
    '/t/[x',
    '/t/%5bx',
    '/t/a|b',
  ],
  ...[
    '/t/a=b',
    '/t/a*b',
    '/t/{x}',
    '/t/a"b',
    '/t/a^b',
    '/t/a`b',
    "/t/a'b",
    '/t/a//b',
    '/a/c',
    '/c',
  ],
  ...[
    '/c/',
    '/x/c?y',
    '/a%20b',
    '/a%',
    '/a%zz',
    '/%2e%2e/admin',
    '/a/..',
    '/..',
    '/.',
    '/a/b/..%2fc',
  ],
];
const pathSpecs = [
  'rules: [{ to: [{ operation: { paths: ["/a/*"] } }] }]',
  'rules: [{ to: [{ operation: { paths: ["/a", "/c", "/admin"] } }] }]',
  'rules: [{ to: [{ operation: { paths: ["*/c", "*/b"] } }] }]',
  'rules: [{ to: [{ operation: { paths: ["/t/{*}"] } }] }]',
  'rules: [{ to: [{ operation: { paths: ["/t/{*}/b", "/{**}/c"] } }] }]',
  'rules: [{ to: [{ operation: { notPaths: ["/admin*"] } }] }]',
  'action: DENY\n  rules: [{ to: [{ operation: { paths: ["/admin", "/admin/*"] } }] }]',
  'action: DENY\n  rules: [{ to: [{ operation: { paths: ["/t/{**}"] } }] }]',
  'rules: [{ when: [{ key: "request.headers[:path]", values: ["/a*", "*?q"] }] }]',
];

const headerSets: readonly (readonly string[])[] = [
  [],
  ['x-forwarded-for', '1.2.3.4'],
  ['X-Forwarded-For', '1.2.3.4, 5.6.7.8'],
  ['x-forwarded-for', '1.2.3.4', 'x-forwarded-for', '5.6.7.8'],
  ['x-forwarded-for', '1.2.3.4,5.6.7.8,9.9.9.9'],
  ['x-forwarded-for', 'junk'],
  ['x-forwarded-for', '1.2.3.4, 5.6.7.8:80'],
  ['x-forwarded-for', '2001:db8::1'],
  ['x-forwarded-proto', 'https'],
  ['x-forwarded-proto', 'http'],
  ['x-a', '1', 'x-a', '2'],
  ['X-A', '1,2'],
  ['x-a', ''],
  ['accept', '1', 'accept', '2'],
  ['te', 'trailers'],
  ['x-envoy-internal', 'true'],
  ['x-envoy-external-address', '1.2.3.4'],
  ['x-request-id', 'mine'],
  ['x-forwarded-client-cert', 'By=x'],
  ['cookie', 'a=1', 'cookie', 'b=2'],
  ['keep-alive', 'a'],
];
const conditionSpecs = [
  'rules: [{ from: [{ source: { remoteIpBlocks: ["1.2.3.4"] } }] }]',
  'rules: [{ from: [{ source: { remoteIpBlocks: ["5.6.7.8", "2001:db8::/32"] } }] }]',
  'rules: [{ from: [{ source: { notRemoteIpBlocks: ["198.51.100.0/24"] } }] }]',
  ...[
    ['x-a', '1'],
    ['X-A', '*'],
    ['x-a', '1,2'],
    ['x-a', '*2'],
    ['accept', '1'],
    ['accept', '1,2'],
    ['te', '*'],
    ['cookie', 'b=2'],
    ['keep-alive', '*'],
    ['x-envoy-internal', '*'],
    ['x-envoy-external-address', '1.2.3.4'],
    ['x-envoy-external-address', '*'],
    ['x-request-id', '*'],
    ['x-request-id', 'mine'],
    ['x-forwarded-client-cert', '*'],
    ['x-forwarded-client-cert', '*web'],
    ['x-forwarded-for', '*'],
    ['x-forwarded-for', '1.2.3.4*'],
    ['x-forwarded-for', '*198.51.100.7'],
    ['x-forwarded-proto', 'https'],
    [':scheme', 'https'],
    ['host', 'a.example'],
  ].map(
    ([key, value]) =>
      `rules: [{ when: [{ key: "request.headers[${key}]", values: ["${value}"] }] }]`,
  ),
];

interface Place {
  readonly mesh: MeshSettings;
  readonly edge: EnvoyListener['edge'];
}

const sidecar = (pathNormalization: PathNormalization): Place => ({
  mesh: { ...defaultMesh, pathNormalization },
  edge: undefined,
});
const edge = (trustedProxies: number): Place => ({
  mesh: { ...defaultMesh, trustedProxies },
  edge: { trustedProxies },
});

function workloadOf(place: Place) {
  const labels: Record<string, string> =
    place.edge === undefined ? {} : { [gatewayNameLabel]: 'edge' };
  return { namespace: 'prod', serviceAccount: 'x', labels, ports: new Map<number, string>() };
}

test("rows of paths and headers are answered as a real Envoy with Istio's settings answers them", {
  skip,
}, async (t) => {
  const subjects = [
    ...(['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const).flatMap(
      (normalization) =>
        pathSpecs.map((spec) => ({ spec, place: sidecar(normalization), isPaths: true })),
    ),
    ...[sidecar('BASE'), edge(0), edge(1), edge(2)].flatMap((place) =>
      conditionSpecs.map((spec) => ({ spec, place, isPaths: false })),
    ),
  ].map((subject) => {
    const text = policyText('p', `\n  ${subject.spec}`);
    return { ...subject, policies: parseIstioPolicies(text, 'policy.yaml') };
  });
  const envoy = await startEnvoy(
    subjects.map(({ policies, place }): EnvoyListener => {
      const workload = workloadOf(place);
      const filters = envoyFilters(policies.authorization, { protocol: 'http', workload });
      return {
        protocol: 'http',
        filters: filters.map((filter) => rbacConfig('http', filter)),
        normalization: place.mesh.pathNormalization,
        ...(place.edge !== undefined && { edge: place.edge }),
      };
    }),
    [id],
  );
  const counts = { ALLOW: 0, DENY: 0 };
  const differing: string[] = [];
  try {
    for (const [listener, { spec, place, policies, isPaths }] of subjects.entries()) {
      const trial = new TableTrial(policies, place.mesh);
      const asked = isPaths
        ? paths.map((path) => ({ path, headers: [] as readonly string[] }))
        : headerSets.map((headers) => ({ path: '/', headers }));
      for (const { path, headers } of asked) {
        for (const principal of isPaths ? [undefined] : [undefined, id]) {
          const request = {
            ...nothing,
            principal,
            path,
            headers,
            method: 'GET',
            host: 'a.example',
          };
          const { got } = trial.try({ workload: workloadOf(place), request });
          const status = await envoy.ask({
            ...{ listener, id: principal, sni: '', sourceIp: source, destinationIp: source },
            ...{ destinationPort: 8080, method: 'GET', path, claims: undefined },
            headers: ['Host', 'a.example', ...headers],
          });
          const about = {
            ...place.edge,
            by: place.mesh.pathNormalization,
            principal,
            path,
            headers,
          };
          const isAlike = got === (status === 200 ? 'ALLOW' : 'DENY');
          if (!isAlike)
            differing.push(`${spec} ${JSON.stringify(about)}: ${got}, status ${status}`);
          counts[got] += 1;
        }
      }
    }
  } finally {
    await envoy.close();
  }
  t.diagnostic(JSON.stringify(counts));
  assert.deepEqual(differing, []);
  assert.ok(counts.ALLOW > 500 && counts.DENY > 500);
});

test('who gets to a listener at all is what a real Envoy lets in', { skip }, async (t) => {
  const modes = ['STRICT', 'PERMISSIVE', 'DISABLE'] as const;
  const mesh = { ...defaultMesh, trustDomain: 'td1', trustDomainAliases: ['td2'] };
  const trustDomains = [mesh.trustDomain, ...mesh.trustDomainAliases];
  const subjects = modes.flatMap((mode) =>
    (['http', 'tcp'] as const).map((protocol) => ({ mode, protocol })),
  );
  const callers = ['td1', 'td2', 'td3', 'td', 'td11'].map((name) => `spiffe://${name}/ns/a/sa/b`);
  const envoy = await startEnvoy(
    subjects.map(({ mode, protocol }) => ({ mode, protocol, trustDomains, filters: [] })),
    callers,
  );
  const differing: string[] = [];
  let admitted = 0;
  try {
    for (const [listener, { mode, protocol }] of subjects.entries()) {
      const kind = 'PeerAuthentication';
      const text = policyText('p', `{ mtls: { mode: ${mode} } }`, { kind });
      const trial = new TableTrial(parseIstioPolicies(text, 'policy.yaml'), mesh);
      const ports = new Map([[8080, protocol]]);
      const workload = { ...workloadOf(sidecar('BASE')), ports };
      for (const principal of [undefined, ...callers]) {
        const method = protocol === 'http' ? 'GET' : undefined;
        const request = { ...nothing, principal, port: 8080, method, host: 'a.example' };
        const { got } = trial.try({ workload, request });
        const status = await envoy.ask({
          ...{ listener, id: principal, sni: '', sourceIp: source, destinationIp: source },
          ...{ destinationPort: 8080, method: 'GET', path: '/', claims: undefined },
          headers: ['Host', 'a.example'],
        });
        if (got === 'ALLOW') admitted += 1;
        if (got !== (status === 200 ? 'ALLOW' : 'DENY')) {
          differing.push(`${mode} ${protocol} ${principal}: ${got}, status ${status}`);
        }
      }
    }
  } finally {
    await envoy.close();
  }
  t.diagnostic(`${admitted} admitted`);
  assert.deepEqual(differing, []);
  assert.ok(admitted >= 10);
});

const nothing: TableRequest = {
  principal: undefined,
  sourceIp: source,
  remoteIp: undefined,
  destinationIp: undefined,
  port: undefined,
  sni: undefined,
  host: undefined,
  method: undefined,
  path: undefined,
  headers: [],
  jwt: undefined,
};
