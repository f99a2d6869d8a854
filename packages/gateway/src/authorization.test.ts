import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { compileRules, parseAuthorizationPolicies, parseRoleMapping } from '@countersign/authz';
import type { Log } from '@countersign/base';
import { denial, noLog } from '@countersign/base';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  clientOf,
  idOf,
  mallory,
  rulesOf,
  startUpstream,
  startWorld,
} from './gateway-world.suite.ts';

const policy = (name: string, spec: string, more = '') =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: prod${more} }\nspec: ${spec}\n`;

const roles = `
headers: { roles: X-Roles, tenant: X-Tenant }
identities:
  - { match: { spiffeIds: ["spiffe://example.test/alice"] }, roles: [admin, reader], tenant: acme }
`;

test('rules see hosts, headers, addresses and roles of a request, and each line of a header', async (t) => {
  const { url } = await startUpstream(t, (_, response) => response.end('there'));
  const when = (key: string, value: string) =>
    `{ when: [{ key: "${key}", values: ["${value}"] }] }`;
  const rules = rulesOf(
    policy(
      'a',
      `{ rules: [${[
        '{ to: [{ operation: { hosts: ["orders.example"] } }] }',
        when('request.headers[x-team]', 'blue'),
        '{ from: [{ source: { ipBlocks: ["127.0.0.0/8"] } }], to: [{ operation: { paths: [/local] } }] }',
        `{ to: [{ operation: { paths: [/roles] } }], ${when('experimental.envoy.filters.countersign.identity[roles]', '[admin]').slice(2)}`,
      ].join(', ')}] }`,
    ),
  );
  const world = await startWorld(t, url, { rules, roles: parseRoleMapping(roles, 'roles.yaml') });
  const [as, other] = [alice, mallory].map((who) => clientOf(t, world.gateway.url, who));
  const status = async (path: string, headers: Record<string, string | string[]> = {}) =>
    (await as?.ask(path, { headers }))?.status;
  assert.equal(await status('/'), 403);
  assert.equal(await status('/', { host: 'ORDERS.example' }), 200);
  assert.equal(await status('/', { 'x-team': ['red', 'blue'] }), 200);
  assert.equal(await status('/', { 'x-team': 'red,blue' }), 403);
  assert.equal(await status('/local'), 200);
  assert.equal(await status('/roles'), 200);
  assert.equal((await other?.ask('/roles'))?.status, 403);
});

test('upstreams are told roles in the headers of the mapping, and never what a caller says of itself', async (t) => {
  const seen: unknown[] = [];
  const { url } = await startUpstream(t, ({ headers }, response) => {
    seen.push([headers['x-roles'], headers['x-tenant'], headers.x_tenant]);
    response.end();
  });
  const rules = rulesOf(policy('a', '{ rules: [{}] }'));
  const { gateway } = await startWorld(t, url, {
    rules,
    roles: parseRoleMapping(roles, 'roles.yaml'),
  });
  const forged = { 'x-roles': 'root', 'X-Tenant': 'evil', x_tenant: 'evil' };
  for (const who of [alice, mallory]) {
    await clientOf(t, gateway.url, who).ask('/', { headers: forged });
  }
  assert.deepEqual(seen, [
    ['admin,reader', 'acme', undefined],
    [undefined, undefined, undefined],
  ]);
  gateway.reload({
    roles: parseRoleMapping(roles.replace('[admin, reader]', '[reader]'), 'roles.yaml'),
  });
  await clientOf(t, gateway.url, alice).ask('/');
  assert.deepEqual(seen[2], ['reader', 'acme', undefined]);
});

test('a provider is asked about the requests that a CUSTOM policy is about, and those alone', async (t) => {
  const { url } = await startUpstream(t, (_, response) => response.end());
  const custom =
    '{ action: CUSTOM, provider: { name: opa }, rules: [{ to: [{ operation: { paths: ["/a*"] } }] }] }';
  const rules = rulesOf(policy('c', custom));
  const asked: (string | undefined)[] = [];
  const opa = {
    async check({ request }: { readonly request?: { readonly path: string } }) {
      asked.push(request?.path);
      if (request?.path === '/a/broken') throw new Error('connection refused');
      if (request?.path === '/a/yes') return { ok: true as const };
      return denial('ERR_AUTHZ_DENIED', 'not on Sundays');
    },
  };
  const { gateway } = await startWorld(t, url, { rules, authorizers: new Map([['opa', opa]]) });
  const client = clientOf(t, gateway.url, alice);
  const statuses: number[] = [];
  for (const path of ['/x', '/a/yes', '/a/no', '/a/broken']) {
    statuses.push((await client.ask(path)).status);
  }
  assert.deepEqual(statuses, [200, 200, 403, 403]);
  assert.deepEqual(asked, ['/a/yes', '/a/no', '/a/broken']);
  const without = await startWorld(t, url, { rules });
  const other = clientOf(t, without.gateway.url, alice);
  assert.equal((await other.ask('/a/yes')).status, 403);
  assert.equal((await other.ask('/x')).status, 200);
});

test('an HTTP ext_authz service of the configuration is asked, and told who the caller is', async (t) => {
  const { url } = await startUpstream(t, (_, response) => response.end());
  const seen: unknown[] = [];
  const service = createServer(({ method, url: path, headers }, response) => {
    const { 'x-team': team, 'x-other': other, 'x-from': from } = headers;
    const xfcc = String(headers['x-forwarded-client-cert']);
    seen.push([
      method,
      path,
      headers.host,
      team,
      other,
      from,
      /URI=spiffe:\/\/example.test\/alice/.test(xfcc),
    ]);
    response.writeHead(path?.startsWith('/check/a/yes') ? 200 : 401).end('no');
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  const { port } = service.address() as AddressInfo;
  t.after(() => service.close());
  const custom =
    '{ action: CUSTOM, provider: { name: opa }, rules: [{ to: [{ operation: { paths: ["/a*"] } }] }] }';
  const rules = rulesOf(policy('c', custom));
  const world = (failOpen: boolean, at = port) =>
    startWorld(t, url, {
      rules,
      yaml: `authorization:
  providers:
    - name: opa
      url: http://127.0.0.1:${at}
      pathPrefix: /check
      failOpen: ${failOpen}
      includeRequestHeadersInCheck: [x-team, x-forwarded-client-cert]
      includeAdditionalHeadersInCheck: { x-from: gateway }
`,
    });
  const client = clientOf(t, (await world(false)).gateway.url, alice);
  const headers = {
    host: 'orders.example',
    'x-team': 'blue',
    'x-other': '1',
    'x-forwarded-client-cert': 'URI=spiffe://evil',
  };
  assert.equal((await client.ask('/a/yes?token=secret', { headers })).status, 200);
  const refused = await client.ask('/a/no', { method: 'POST', headers });
  assert.deepEqual([refused.status, refused.body], [401, 'no']);
  assert.deepEqual(seen, [
    ['GET', '/check/a/yes?token=secret', 'orders.example', 'blue', undefined, 'gateway', true],
    ['POST', '/check/a/no', 'orders.example', 'blue', undefined, 'gateway', true],
  ]);
  // Nobody listens on port 1.
  const byMtls = `authorization:
  providers: [{ name: opa, url: "${url}", spiffeId: ${idOf('orders')} }]\n`;
  const secured = await startWorld(t, url, { rules, yaml: byMtls });
  assert.equal((await clientOf(t, secured.gateway.url, alice).ask('/a/yes')).status, 200);
  const other = await startWorld(t, url, {
    rules,
    yaml: byMtls.replace(idOf('orders'), idOf('opa')),
  });
  assert.equal((await clientOf(t, other.gateway.url, alice).ask('/a/yes')).status, 403);
  const [closed, open] = [await world(false, 1), await world(true, 1)];
  assert.equal((await clientOf(t, closed.gateway.url, alice).ask('/a/yes')).status, 403);
  assert.equal((await clientOf(t, open.gateway.url, alice).ask('/a/yes')).status, 200);
});

test('a provider in clear text on another machine, or by mTLS to anybody, is refused', () => {
  const config = (url: string, more = '') =>
    parseGatewayConfig(
      [
        'routes: [{ match: {}, upstream: { url: "https://a", spiffeId: "spiffe://a/b" } }]',
        `authorization: { providers: [{ name: p, url: "${url}"${more} }] }`,
      ].join('\n'),
      'gateway.yaml',
    );
  assert.throws(() => config('http://10.0.0.1:80'), /clear text to another machine/);
  assert.throws(() => config('https://opa.example'), /needs the "spiffeId"/);
  assert.throws(() => config('http://127.0.0.1/check'), /has a path/);
  const [provider] = config('https://opa.example', ', spiffeId: "spiffe://a/opa"').authorization
    .providers;
  assert.equal(provider?.failOpen, false);
});

test('audits and dry runs are told in the log, and change nothing', async (t) => {
  const { url } = await startUpstream(t, (_, response) => response.end());
  const lines: unknown[] = [];
  const log: Log = {
    ...noLog,
    info: (fields, message) => {
      const { policy: by, dryRun, path } = fields as Record<string, unknown>;
      if (/AUDIT|dry runs/.test(message)) lines.push([path, by, dryRun]);
    },
  };
  const texts = [
    policy('seen', '{ action: AUDIT, rules: [{ to: [{ operation: { paths: ["/a*"] } }] }] }'),
    policy(
      'later',
      '{ action: DENY, rules: [{ to: [{ operation: { paths: [/admin] } }] }] }',
      ', annotations: { istio.io/dry-run: "true" }',
    ),
  ];
  const rules = compileRules(parseAuthorizationPolicies(texts.join('---\n'), 'policy.yaml'));
  const { gateway } = await startWorld(t, url, { rules, log });
  const client = clientOf(t, gateway.url, alice);
  for (const path of ['/admin', '/x']) assert.equal((await client.ask(path)).status, 200);
  assert.deepEqual(lines, [
    ['/admin', 'prod/seen', undefined],
    ['/admin', 'prod/later', 'denied'],
    ['/x', undefined, 'allowed'],
  ]);
});
