import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import http, { type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { alice, clientOf, echo, idOf, startUpstream, startWorld } from '../gateway-world.suite.ts';
import { hideSecrets } from './hide-secrets.ts';
import type { LogLevel } from './log-level.ts';

async function ask(url: string, options: http.RequestOptions = {}) {
  const at = url.startsWith('unix:')
    ? { socketPath: url.slice(5, url.indexOf('?')), path: url.slice(url.indexOf('?') + 1) }
    : new URL(url);
  const sent = at instanceof URL ? http.request(at, options) : http.request({ ...at, ...options });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, body, json: () => JSON.parse(body) };
}

async function startAdmin(t: TestContext, admin: string) {
  const upstream = await startUpstream(t, echo);
  let level = 'info';
  let drains = 0;
  const { gateway } = await startWorld(t, upstream.url, {
    yaml: `admin: { ${admin} }\nauthorization: { providers: [${provider}] }`,
    logLevel: {
      get: () => level,
      set(next: LogLevel) {
        level = next;
      },
    },
    onDrain() {
      drains += 1;
    },
  });
  return { gateway, url: gateway.adminUrl ?? '', level: () => level, drains: () => drains };
}

const provider = `{ name: p, url: "http://127.0.0.1:9", includeAdditionalHeadersInCheck: { Authorization: "Basic c2VjcmV0" } }`;

test('the operator sees who is connected, with what, and what is in force, and no secret', async (t) => {
  const { gateway, url } = await startAdmin(t, 'port: 0');
  const client = clientOf(t, gateway.url, alice);
  assert.equal(
    (await client.ask('/orders', { method: 'POST', body: 'x'.repeat(5000) })).status,
    200,
  );
  const all = (await ask(`${url}/connections`)).json();
  assert.equal(all.total, 2);
  const by = async (query: string) => (await ask(`${url}/connections?${query}`)).json();
  const mine = await by(`spiffe_id=${idOf('alice')}`);
  assert.equal(mine.total, 1);
  const [line] = mine.connections;
  assert.equal(line.direction, 'inbound');
  assert.equal(line.serial, alice.chain[0]?.serialHex);
  assert.ok(line.bytesIn > 5000 && line.bytesOut > 0 && line.ageSeconds >= 0);
  assert.equal((await by(`spiffe_id=${idOf('*')}`)).total, 2);
  assert.equal((await by('direction=outbound')).connections[0].peer, idOf('orders'));
  assert.equal((await by('limit=0')).connections.length, 0);
  assert.equal((await ask(`${url}/connections?spiffeid=a`)).status, 400);
  const { identities, trusts } = (await ask(`${url}/certs`)).json();
  assert.equal(identities[0].spiffeId, idOf('gateway'));
  assert.match(identities[0].chain[0].serial, /^[0-9a-f]+$/);
  assert.equal(trusts[0].authorities.length, 1);
  const dump = await ask(`${url}/config_dump`);
  assert.doesNotMatch(dump.body, /c2VjcmV0/);
  assert.deepEqual(dump.json().policies.deny, ['prod/never']);
  assert.equal(dump.json().model.clusters.length, 1);
  assert.equal((await ask(`${url}/ready`)).status, 200);
});

test('nothing is changed unless the configuration lets it be, nor for a page of the web', async (t) => {
  const closed = await startAdmin(t, 'port: 0');
  const post = { method: 'POST' };
  assert.equal((await ask(`${closed.url}/logging?level=debug`, post)).status, 403);
  assert.equal((await ask(`${closed.url}/drain`, post)).status, 403);
  assert.equal(closed.level(), 'info');
  const open = await startAdmin(t, 'port: 0, changes: true');
  for (const headers of [
    { origin: 'https://evil.example' },
    { host: 'evil.example:80' },
    { host: '127.0.0.1.evil.example:80' },
  ]) {
    assert.equal((await ask(`${open.url}/drain`, { ...post, headers })).status, 403);
    assert.equal((await ask(`${open.url}/connections`, { headers })).status, 403);
  }
  assert.equal((await ask(`${open.url}/drain`)).status, 405);
  assert.equal((await ask(`${open.url}/connections`, post)).status, 405);
  assert.equal((await ask(`${open.url}/connections`, { method: 'DELETE' })).status, 405);
  assert.equal((await ask(`${open.url}/logging?level=loud`, post)).status, 400);
  assert.equal((await ask(`${open.url}/logging?level=debug`, post)).status, 200);
  assert.equal(open.level(), 'debug');
  assert.deepEqual((await ask(`${open.url}/logging`)).json(), { level: 'debug' });
  assert.equal(open.drains(), 0);
  assert.equal((await ask(`${open.url}/drain`, post)).status, 202);
  assert.equal(open.drains(), 1);
});

test('a Unix socket is for its owner, and an address for others shows no details', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-admin-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'admin.sock');
  const { url } = await startAdmin(t, `socket: ${path}`);
  assert.equal(url, `unix:${path}`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal((await ask(`${url}?/connections`)).json().total, 0);
  const wide = await startAdmin(t, 'address: 0.0.0.0, port: 0, changes: true');
  const here = wide.url.replace('0.0.0.0', '127.0.0.1');
  assert.equal((await ask(`${here}/healthz`)).status, 200);
  for (const page of ['connections', 'config_dump', 'certs', 'logging', 'ready', 'drain']) {
    assert.equal((await ask(`${here}/${page}`)).status, 404, page);
  }
});

test('what could be a secret is hidden wherever it stands', () => {
  assert.deepEqual(
    hideSecrets({
      set: [
        ['Authorization', 'Bearer abc'],
        ['X-Team', 'blue'],
      ],
      ca: 'https://user:pass@ca.internal/x',
      password: 'p',
      deep: { 'x-api-key': ['a', 'b'], key: { file: '/k.pem' } },
    }),
    {
      set: [
        ['Authorization', '(hidden)'],
        ['X-Team', 'blue'],
      ],
      ca: 'https://(hidden)@ca.internal/x',
      password: '(hidden)',
      deep: { 'x-api-key': '(hidden)', key: { file: '/k.pem' } },
    },
  );
});
