import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

let directory = '';
const file = (name: string) => join(directory, name);

const policies = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: orders, namespace: prod }
spec:
  selector: { matchLabels: { app: orders } }
  rules:
    - from: [{ source: { principals: [cluster.local/ns/prod/sa/web] } }]
      to: [{ operation: { methods: [GET], paths: [/orders] } }]
`;
const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: prod }
spec: { mtls: { mode: STRICT } }
`;
const workload =
  '{ namespace: prod, serviceAccount: orders, labels: { app: orders }, ports: { "8080": http } }';
const row = (name: string, request: string, expect: string) =>
  `- { name: ${name}, workload: ${workload}, request: ${request}, expect: ${expect} }\n`;
const web = 'principal: td1/ns/prod/sa/web, port: 8080, method: GET, path: /orders';

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('policies.yaml'), policies);
  await writeFile(file('strict.yaml'), strict);
  await writeFile(file('mesh.yaml'), 'trustDomain: td1\n');
  await writeFile(file('empty-mesh.yaml'), '{}');
  await writeFile(
    file('right.yaml'),
    row('the web reads', `{ ${web} }`, 'ALLOW') + row('nobody reads', '{ method: GET }', 'DENY'),
  );
  await writeFile(
    file('wrong.yaml'),
    row('the web reads', `{ ${web} }`, 'ALLOW') +
      row('the web writes', `{ ${web.replace('GET', 'PUT')} }`, 'ALLOW'),
  );
});

test('authz test exits 0 where every row is as expected, however its files are given', async () => {
  const mesh = ['--mesh', file('mesh.yaml')];
  const [policy, other, table] = [file('policies.yaml'), file('strict.yaml'), file('right.yaml')];
  for (const words of [
    ['--policy', policy, ...mesh, table],
    ['--policy', policy, other, ...mesh, table],
    ['--policy', policy, '--policy', other, table, ...mesh],
    [...mesh, '--policy', policy, other, table],
    [table, ...mesh, '--policy', policy],
  ]) {
    const ran = await countersign(['authz', 'test', ...words]);
    assert.equal(ran.code, 0, `${words}: ${ran.stdout} ${ran.stderr}`);
    assert.match(ran.stdout, /^ok 2 rows as expected\n$/);
  }
});

test('authz test exits 1 naming the rows that differ, and tells all of them as JSON', async () => {
  const words = ['authz', 'test', '--policy', file('policies.yaml'), '--mesh', file('mesh.yaml')];
  const [text, json] = await Promise.all([
    countersign([...words, file('wrong.yaml')]),
    countersign([...words, '-o', 'json', file('wrong.yaml')]),
  ]);
  assert.equal(text.code, 1, text.stderr);
  assert.match(
    text.stdout,
    /^differs the web writes: expected ALLOW, got DENY: .*operation\.methods is "GET", found "PUT"\n1 of 2 rows differ\n$/,
  );
  assert.equal(json.code, 1, json.stderr);
  const told = JSON.parse(json.stdout);
  assert.deepEqual(
    told.map(({ reason, ...each }: { reason: string }) => each),
    [
      { name: 'the web reads', expect: 'ALLOW', got: 'ALLOW' },
      { name: 'the web writes', expect: 'ALLOW', got: 'DENY' },
    ],
  );
  assert.match(
    told[0].reason,
    /^allowed by policy prod\/orders rules\[0\] \(.*policies\.yaml:8:7\)$/,
  );
});

test('authz test says what it cannot read with its place, and exits 2', async () => {
  await writeFile(file('bad-table.yaml'), '- { name: a, expekt: ALLOW }\n');
  await writeFile(file('bad-policy.yaml'), policies.replace('rules', 'rulez'));
  const policy = ['--policy', file('policies.yaml')];
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[...policy, file('bad-table.yaml')], /bad-table\.yaml:1:14: unknown key "expekt".*"expect"/],
    [['--policy', file('bad-policy.yaml'), file('right.yaml')], /unknown key "rulez".*"rules"/],
    [[...policy, file('none.yaml')], /none\.yaml/],
    [policy, /the table is missing/],
    [[file('right.yaml')], /--policy is missing/],
  ];
  for (const [words, message] of cases) {
    const ran = await countersign(['authz', 'test', ...words]);
    assert.equal(ran.code, 2, ran.stderr);
    assert.match(ran.stderr, message);
  }
});

test('authz explain says why, rule by rule, and which came closest', async () => {
  const words = [
    ...['authz', 'explain', '--policy', file('policies.yaml'), '--mesh', file('empty-mesh.yaml')],
    ...['--namespace', 'prod', '--label', 'app=orders', '--port', '8080', '--method', 'GET'],
    ...['--principal', 'cluster.local/ns/prod/sa/web'],
  ];
  const [denied, allowed, json, tcp] = await Promise.all([
    countersign([...words, '--path', '/admin', '--header', 'x-a: b']),
    countersign([...words, '--path', '/orders?x']),
    countersign([...words, '--path', '/admin', '-o', 'json']),
    countersign([...words, '--protocol', 'tcp']),
  ]);
  assert.equal(denied.code, 1, denied.stderr);
  assert.match(
    denied.stdout,
    /^DENY: no rule allows it; closest is policy prod\/orders rules\[0\]/,
  );
  assert.match(denied.stdout, / {2}yes source\.principals is "cluster\.local/);
  assert.match(denied.stdout, / {2}no {2}operation\.paths is "\/orders", found "\/admin"/);
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(allowed.stdout, /^ALLOW: allowed by policy prod\/orders rules\[0\]/);
  const told = JSON.parse(json.stdout);
  assert.deepEqual([told.got, told.closest.policy, told.closest.rule], ['DENY', 'prod/orders', 0]);
  assert.match(
    tcp.stdout,
    /ALLOW policy prod\/orders rules\[0\] .* is left out whole: operation\.methods, only HTTP/,
  );
});

test('check reads every document, and tells policies that do not mean what they say with the request that shows it', async () => {
  const open = policies
    .replace('name: orders', 'name: open')
    .replace('principals: [cluster.local/ns/prod/sa/web]', 'notNamespaces: [dev]');
  await writeFile(
    file('mixed.yaml'),
    `${open}---\nkind: PeerAuthentications\napiVersion: v1\n---${strict.replace('STRICT', 'STRIKT')}`,
  );
  await writeFile(
    file('workloads.yaml'),
    '- { namespace: prod, serviceAccount: web, labels: { app: web } }\n',
  );
  const [text, json, known, sound] = await Promise.all([
    countersign(['check', file('mixed.yaml')]),
    countersign(['check', '-o', 'json', file('mixed.yaml')]),
    countersign(['check', '--workloads', file('workloads.yaml'), file('policies.yaml')]),
    countersign(['check', file('policies.yaml'), file('strict.yaml')]),
  ]);
  assert.equal(text.code, 1, text.stderr);
  for (const said of [
    /mixed\.yaml:8:7: policy prod\/open rules\[0\]: notNamespaces says who may not, .*GET "\/orders" by a plaintext caller is allowed/,
    /mixed\.yaml:\d+:\d+: kind "PeerAuthentications" is no policy that is known, the nearest is "PeerAuthentication"/,
    /expected "UNSET" or "DISABLE" or "PERMISSIVE" or "STRICT", found "STRIKT", the nearest is "STRICT"/,
    /ERR_AUTHZ_LETS_STRANGERS_IN/,
  ]) {
    assert.match(text.stderr, said);
  }
  assert.equal(json.code, 1);
  const shown = JSON.parse(json.stdout).files[0].findings.find(
    ({ example }: { example?: object }) => example,
  );
  assert.equal(shown.example.got, 'ALLOW');
  assert.deepEqual(shown.example.request, { method: 'GET', path: '/orders' });
  assert.equal(known.code, 1);
  assert.match(known.stderr, /policy prod\/orders selects app=orders, and no known workload is/);
  assert.equal(sound.code, 0, sound.stderr);
});
