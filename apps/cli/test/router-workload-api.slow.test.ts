import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { readIdentity } from '@countersign/identity';
import { createMtlsListener, describePeer } from '@countersign/mtls';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import { skipAgent, startAgentOfAuthority } from './agent-of-authority.ts';
import { id } from './authority-files.ts';
import { startCountersign } from './countersign.ts';

test('a router is who an agent says, and goes on being it through rotations without a failed request', {
  skip: skipAgent,
}, async (t) => {
  const { file, run, state } = await startAgentOfAuthority(t);
  const selector = ['--selector', `unix:uid:${process.getuid?.()}`];
  for (const [name, ttl] of [
    ['other', '1h'],
    ['ns/default/sa/router', '4s'],
  ] as const) {
    const create = ['entry', 'create', ...state, '--agent', id('agent'), '--spiffe-id', id(name)];
    await run(...create, ...selector, '--ttl', ttl);
  }
  await run(
    ...['issue', ...state, '--spiffe-id', id('ns/default/sa/a')],
    ...['--dns', 'a.prod.example.com', '--ip', '127.0.0.1', '--out', file('a')],
  );

  // A subgraph that tells who asks.
  const identity = await readIdentity(file('a'));
  const peers = new WeakMap<object, { readonly peer: string; readonly serial: string }>();
  const front = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ data: { who: JSON.stringify(peers.get(request.socket)) } }));
  });
  const listener = createMtlsListener({
    name: 'a',
    svids: staticSvid(identity.svid),
    bundles: staticBundles(identity.bundle),
    clientAuth: 'require',
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection(socket, peer) {
      const { peer: name } = describePeer(peer);
      const serial = 'serialHex' in peer ? peer.serialHex : '';
      peers.set(socket, { peer: String(name), serial });
      front.emit('connection', socket);
    },
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  t.after(async () => {
    await listener.close(0);
    front.close();
  });
  await writeFile(file('a.graphql'), 'type Query { who: String }');
  await writeFile(
    file('router.yaml'),
    `mtls: { trust_domain: example.com }
authority: { workload_api: "unix://${file('agent.sock')}", spiffe_id: ${id('ns/default/sa/router')} }
subgraphs: [{ name: a, url: "https://127.0.0.1:${port}/", schema: a.graphql }]
`,
  );
  const router = await startCountersign(t, [
    ...['router', '--config', file('router.yaml'), '--port', '0'],
  ]);
  const serials = new Set<string>();
  const until = AbortSignal.timeout(60_000);
  while (serials.size < 4) {
    until.throwIfAborted();
    const response = await fetch(`${router.urls[0]}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"{ who }"}',
    });
    const { data, errors } = (await response.json()) as { data: { who: string }; errors?: object };
    assert.equal(errors, undefined, JSON.stringify(errors));
    const { peer, serial } = JSON.parse(data.who);
    assert.equal(peer, id('ns/default/sa/router'));
    serials.add(serial);
    await systemClock.sleep(50);
  }
  const status = await (await fetch(`${router.urls[0]}/health/mtls`)).json();
  assert.deepEqual((status as { router: { trustDomains: string[] } }).router.trustDomains, [
    'example.com',
  ]);
});
