import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { alice, rulesOf, startUpstream, startWorld, tlsOf } from './gateway-world.suite.ts';
import { sendAll } from './send-messages.suite.ts';
import { smuggledPath, smugglingCorpus } from './smuggling-corpus.suite.ts';

const corpus = smugglingCorpus('a.example');

const everything = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: everything }
spec: { action: ALLOW, rules: [{}] }
`;

test('of more than 200 ambiguous messages an origin never sees a second request', async (t) => {
  assert.ok(corpus.length >= 200, `${corpus.length} messages`);
  const seen: string[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    request.on('end', () => response.end('ok'));
  });
  const { gateway } = await startWorld(t, upstream.url, { rules: rulesOf(everything) });
  const connect = () => tls.connect({ port: gateway.port, host: '127.0.0.1', ...tlsOf(alice) });
  const answers = await sendAll(corpus, connect);
  assert.deepEqual(
    seen.filter((line) => line.includes(smuggledPath)),
    [],
  );
  const twice = seen.filter((line, i) => seen.indexOf(line) !== i);
  assert.deepEqual(twice, [], 'each message is one request at most');
  const refused = [...answers.values()].filter((answer) => /^HTTP\/1\.1 [45]/.test(answer)).length;
  assert.ok(refused > 200, `${refused} of ${corpus.length} refused`);
});

test('the messages are no straw men: a lenient server takes many of them for two requests', async (t) => {
  let smuggled = 0;
  const server = createServer({ insecureHTTPParser: true }, (request, response) => {
    if (request.url?.startsWith(smuggledPath)) smuggled += 1;
    request.resume();
    request.on('end', () => response.end('ok'));
  });
  server.on('clientError', (_thrown, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await sendAll(corpus, () => net.connect(port, '127.0.0.1'));
  assert.ok(smuggled >= 20, `${smuggled} of ${corpus.length}`);
});
