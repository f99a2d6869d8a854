import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { compileRules } from '@countersign/authz';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { readTlsIdentity } from '@countersign/mtls';
import { neverRevoked } from '@countersign/spiffe';
import { type TestCredential, testCa } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';
import { gatewayConfigOf } from '../gateway-config.ts';
import { startGateway } from '../start-gateway.ts';

const root = testCa();
const other = testCa();
const idOf = (name: string) => `spiffe://example.test/${name}`;

async function world(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-files-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = (name: string) => join(directory, name);
  const write = (name: string, text: string) => writeFileSync(path(name), text, { mode: 0o600 });
  const show = (credential: TestCredential) => {
    write('cert.pem', credential.chainPem);
    write('key.pem', credential.keyPem);
  };
  const revoke = async (...revoked: TestCredential[]) => {
    const { raw } = await root.crl(revoked.map(({ certificate }) => certificate));
    write('crl.pem', encodePem('X509 CRL', raw));
  };
  show(root.leaf({ dns: ['edge.test'] }));
  write('ca.pem', root.rootPem);
  await revoke();
  const upstream = http.createServer((request, response) => {
    if (request.url !== '/hold') response.end('here');
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const { port } = upstream.address() as AddressInfo;
  const gateway = await startGateway({
    config: gatewayConfigOf({
      listeners: [
        {
          ...{ name: 'web', address: '127.0.0.1', port: 0 },
          chains: [
            {
              ...{ name: 'web', serverNames: [], protocol: 'auto', table: 'all' },
              tls: {
                ...{ clientAuth: 'require', minVersion: 'TLSv1.2' },
                ...{ identity: { name: 'edge' }, trust: { name: 'clients' } },
              },
            },
          ],
        },
      ],
      tables: [
        {
          name: 'all',
          hosts: [
            {
              ...{ name: 'all', domains: ['*'] },
              routes: [
                {
                  ...{ name: 'all', match: { path: { kind: 'prefix', text: '/' } } },
                  action: { kind: 'forward', targets: [{ cluster: 'here', weight: 1 }] },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          ...{
            name: 'here',
            endpoints: [{ host: '127.0.0.1', port, weight: 1 }],
            discovery: 'name',
          },
          ...{ dnsRefreshMs: 0, balancing: 'round-robin', connectTimeoutMs: 5000 },
          ...{ headersTimeoutMs: 30_000, idleTimeoutMs: 30_000, maxConnections: 16 },
          limits: { maxRequests: 100, maxRetries: 3 },
        },
      ],
      identities: [
        { name: 'edge', certificate: { file: path('cert.pem') }, key: { file: path('key.pem') } },
      ],
      trusts: [
        {
          ...{ name: 'clients', authorities: { file: path('ca.pem') } },
          crl: { file: path('crl.pem') },
        },
      ],
    }),
    ...{ rules: compileRules([]), revocation: neverRevoked },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => gateway.close());
  return { gateway, show, revoke, write };
}

/** A client that keeps its connection. */
function clientOf(t: TestContext, url: string, who: TestCredential) {
  const how = { cert: who.chainPem, key: who.keyPem, rejectUnauthorized: false };
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...how });
  t.after(() => agent.destroy());
  const send = (path: string) => {
    const sent = https.request(`${url}${path}`, { agent, ...how });
    sent.on('error', () => {});
    sent.end();
    return sent;
  };
  return {
    send,
    async ask(path = '/') {
      const [response] = (await once(send(path), 'response')) as [http.IncomingMessage];
      const socket = response.socket as TLSSocket;
      const { serialNumber: serial } = socket.getPeerCertificate();
      response.resume();
      await once(response, 'end');
      return { status: response.statusCode, serial, socket };
    },
  };
}

test('certificates of files are taken over while connections stand, and broken ones are not', async (t) => {
  const { gateway, show, write } = await world(t);
  const alice = clientOf(t, gateway.url, root.svid(idOf('alice')));
  const first = await alice.ask();
  assert.equal(first.status, 200);
  const serialOf = async () => {
    const fresh = clientOf(t, gateway.url, root.svid(idOf('bob')));
    const { status, serial } = await fresh.ask();
    assert.equal(status, 200);
    return serial;
  };
  const before = await serialOf();
  show(root.leaf({ dns: ['edge.test'] }));
  await gateway.refresh();
  const after = await serialOf();
  assert.notEqual(after, before);
  assert.equal((await alice.ask()).socket, first.socket);

  // A key of another certificate, as amid a rotation that is not done yet.
  write('key.pem', root.leaf({ dns: ['edge.test'] }).keyPem);
  await gateway.refresh();
  assert.equal(await serialOf(), after);
});

test('a new list cuts the connection of whom it revokes, and nobody else', async (t) => {
  const { gateway, revoke, write } = await world(t);
  const mallory = root.svid(idOf('mallory'));
  const [bad, good] = [
    clientOf(t, gateway.url, mallory),
    clientOf(t, gateway.url, root.svid(idOf('alice'))),
  ];
  assert.equal((await bad.ask()).status, 200);
  const kept = await good.ask();
  const held = bad.send('/hold');
  const cut = new Promise((resolve) => held.once('close', resolve));
  await revoke(mallory);
  await gateway.refresh();
  await cut;
  assert.equal((await bad.ask()).status, 403);
  const still = await good.ask();
  assert.equal(still.status, 200);
  assert.equal(still.socket, kept.socket);

  // Whoever no authority of the file vouches for any more is cut as well; a list without its authority clears nobody.
  write('ca.pem', other.rootPem);
  const gone = new Promise((resolve) => still.socket.once('close', resolve));
  await gateway.refresh();
  await gone;
  assert.equal((await good.ask()).status, 403);
});

test('a certificate that is no SVID never shows its key', () => {
  const { chainPem, keyPem } = root.leaf({ dns: ['edge.test'] });
  const identity = readTlsIdentity(chainPem, keyPem);
  assert.equal(identity.spiffeId, undefined);
  const secret = keyPem.split('\n')[1] ?? '';
  assert.ok(secret.length > 20);
  for (const text of [
    JSON.stringify(identity),
    inspect(identity, { depth: 5 }),
    String(identity),
  ]) {
    assert.ok(!text.includes(secret.slice(0, 20)));
  }
  assert.throws(() => readTlsIdentity(chainPem, root.leaf({ dns: ['x.test'] }).keyPem), {
    code: 'ERR_SVID_KEY',
  });
});
