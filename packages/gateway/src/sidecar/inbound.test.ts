import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { alice, clientOf, credentialOf, idOf, mallory } from '../gateway-world.suite.ts';
import {
  allOf,
  connectPlain,
  connectTls,
  echoPlain,
  plainAsk,
  recordingLog,
  startApp,
  startSidecarOf,
  startTcpApp,
} from './sidecar-world.suite.ts';

const orders = credentialOf('ns/prod/sa/orders');

/** Alice may do everything, whoever has no name may read /public. */
const policyFor = (port: number) => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: orders, namespace: prod }
spec:
  selector: { matchLabels: { app: orders } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["example.test/alice"] } }]
      to: [{ operation: { ports: ["${port}"] } }]
    - to: [{ operation: { paths: ["/public"] } }]
`;

test('a permissive port takes mTLS and plaintext side by side, each by the policies', async (t) => {
  const app = await startApp(t, echoPlain);
  const { log, lines } = recordingLog();
  const { portOf, seen, modes, sidecar } = await startSidecarOf(
    t,
    `inbound: [{ port: ${app}, listen: { address: 127.0.0.1, port: 0 } }]`,
    {
      as: orders,
      log,
      modes: { [`inbound-${app}`]: 'PERMISSIVE' },
      policy: policyFor(app),
    },
  );
  const port = portOf(`inbound-${app}`);
  const asAlice = clientOf(t, `https://127.0.0.1:${port}`, alice);
  const asMallory = clientOf(t, `https://127.0.0.1:${port}`, mallory);

  const answered = await asAlice.ask('/orders');
  assert.equal(answered.status, 200);
  const told = JSON.parse(answered.body);
  assert.match(told.headers['x-forwarded-client-cert'], /URI=spiffe:\/\/example\.test\/alice/);
  assert.match(told.headers['x-forwarded-client-cert'], /By=spiffe:\/\/example\.test\/ns\/prod/);
  assert.equal((await asMallory.ask('/orders')).status, 403);
  assert.equal((await plainAsk(port, '/orders')).status, 403);
  const spoofed = { 'x-forwarded-client-cert': `URI=${idOf('alice')}` };
  const open = await plainAsk(port, '/public', { headers: spoofed });
  assert.equal(open.status, 200);
  assert.equal(JSON.parse(open.body).headers['x-forwarded-client-cert'], undefined);
  assert.deepEqual(
    seen.map(({ peer, isRefused }) => [typeof peer === 'string' ? peer : 'mtls', isRefused]),
    [
      ['mtls', false],
      ['mtls', false],
      ['plaintext', false],
      ['plaintext', false],
    ],
  );

  // STRICT from now on: open connections in plaintext are cut, new ones refused and named; the others live on.
  const held = connectPlain(t, port);
  held.write('GET /public HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(held, 'data');
  modes[`inbound-${app}`] = 'STRICT';
  assert.equal(sidecar.recheck().closed, 1);
  if (!held.closed) await once(held, 'close');
  await assert.rejects(plainAsk(port, '/public'));
  assert.equal(seen.at(-1)?.isRefused, true);
  const said = lines.find(({ message }) => message.includes('takes mTLS alone'));
  assert.match(said?.message ?? '', new RegExp(`plaintext to port ${app} .*STRICT`));
  assert.equal((await asAlice.ask('/orders')).status, 200);
});

test('a port of protocol tcp takes servers that speak first, half-closed connections, and DISABLE', async (t) => {
  const app = await startTcpApp(t, (socket) => {
    socket.write('220 ready\r\n');
    let heard = '';
    socket.on('data', (chunk) => {
      heard += chunk;
    });
    socket.on('end', () => socket.end(`heard ${heard.length}`));
  });
  const name = `inbound-${app.port}`;
  const { portOf, modes, sidecar } = await startSidecarOf(
    t,
    `inbound:
  - { port: ${app.port}, protocol: tcp, serverFirst: 50ms, listen: { address: 127.0.0.1, port: 0 } }`,
    { as: orders, modes: { [name]: 'PERMISSIVE' } },
  );
  const port = portOf(name);
  const silent = connectPlain(t, port);
  const [greeting] = await once(silent, 'data');
  assert.equal(String(greeting), '220 ready\r\n');
  silent.end('x'.repeat(300_000));
  assert.equal(await allOf(silent), 'heard 300000');
  const over = connectTls(t, port, alice);
  over.end('over TLS');
  assert.equal(await allOf(over), '220 ready\r\nheard 8');

  // STRICT waits for a handshake, and does not speak first.
  modes[name] = 'STRICT';
  const refused = connectPlain(t, port);
  refused.write('EHLO\r\n');
  assert.equal(await allOf(refused), '');
  // DISABLE takes no TLS: what comes is the application's own.
  modes[name] = 'DISABLE';
  const own = connectPlain(t, port);
  own.end(Buffer.from([22, 3, 1, 0, 5, 1, 0, 0]));
  assert.equal(await allOf(own), '220 ready\r\nheard 8');
  assert.equal(sidecar.stats().connections, 0);
});

test('a revoked peer is cut through the sidecar, and its innocent twin is not', async (t) => {
  const app = await startTcpApp(t, (socket) => socket.pipe(socket));
  const name = `inbound-${app.port}`;
  const bob = credentialOf('bob');
  const { portOf, revocation } = await startSidecarOf(
    t,
    `inbound:
  - { port: ${app.port}, protocol: tcp, listen: { address: 127.0.0.1, port: 0 } }`,
    { as: orders },
  );
  const [guilty, innocent] = [alice, bob].map((who) => connectTls(t, portOf(name), who));
  for (const socket of [guilty, innocent]) {
    socket?.write('hello');
    await once(socket as never, 'data');
  }
  revocation.revoke(idOf('alice'));
  revocation.notify();
  if (guilty?.closed !== true) await once(guilty as never, 'close');
  innocent?.write('still here');
  const [heard] = await once(innocent as never, 'data');
  assert.equal(String(heard), 'still here');
});
