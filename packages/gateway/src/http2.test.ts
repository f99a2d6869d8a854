import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { test } from 'node:test';
import tls from 'node:tls';
import {
  alice,
  clientOf,
  echo,
  mallory,
  startUpstream,
  startWorld,
  textOf,
  tlsOf,
} from './gateway-world.suite.ts';
import { answerOf, h2ClientOf, h2Echo, startH2Upstream } from './protocol-world.suite.ts';

const big = 'x'.repeat(300_000);

test('every version of HTTP meets every other, with bodies, headers and the identity', async (t) => {
  const h1 = await startUpstream(t, async (request, response) => {
    const body = await textOf(request);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ headers: request.headers, body }));
  });
  const h2 = await startH2Upstream(t, h2Echo);
  for (const [url, protocol] of [
    [h1.url, 'h1'],
    [h1.url, 'auto'],
    [h2.url, 'h2'],
    [h2.url, 'auto'],
  ] as const) {
    const { gateway } = await startWorld(t, url, { upstreamYaml: `, protocol: ${protocol}` });
    const headers = { 'x-forwarded-client-cert': 'URI=spiffe://example.test/admin', 'x-own': 'a' };
    const [old, fresh] = [clientOf(t, gateway.url, alice), h2ClientOf(t, gateway.url, alice)];
    const posted = { ...headers, ':method': 'POST' };
    const answers = [
      await old.ask('/a', { method: 'POST', headers, body: big }),
      await fresh.ask('/a', posted, big),
      await old.ask('/a', { headers }),
      await fresh.ask('/a', headers),
    ];
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.status, 200, `${protocol} ${i} ${answer.body}`);
      const seen = JSON.parse(answer.body);
      assert.equal(seen.body.length, i < 2 ? big.length : 0);
      assert.equal(seen.headers['x-own'], 'a');
      assert.match(seen.headers['x-forwarded-client-cert'], /URI=spiffe:\/\/example\.test\/alice/);
      assert.doesNotMatch(seen.headers['x-forwarded-client-cert'], /admin/);
      const host = seen.headers.host ?? seen.headers[':authority'];
      assert.equal(host, new URL(gateway.url).host);
    }
    assert.equal(h2.sessions.size, url === h2.url ? 1 : 0, 'requests share a connection');
    await gateway.close();
  }
});

test('what HTTP/2 says otherwise is said to an HTTP/1.1 upstream in its own way', async (t) => {
  const { url } = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, url);
  const client = h2ClientOf(t, gateway.url, alice);
  const stream = client.session.request([
    ...[':method', 'GET', ':path', '/a?b=c', ':scheme', 'https'],
    ...[
      ':authority',
      new URL(gateway.url).host,
      'cookie',
      'a=1',
      'cookie',
      'b=2',
      'te',
      'trailers',
    ],
  ] as never);
  const seen = JSON.parse((await answerOf(stream)).body);
  assert.equal(seen.url, '/a?b=c');
  assert.equal(seen.headers.cookie, 'a=1; b=2');
  assert.deepEqual([seen.headers.te, seen.headers.connection], [undefined, 'keep-alive']);
  const names = seen.rawHeaders.filter((_: string, i: number) => i % 2 === 0);
  assert.ok(!names.some((name: string) => name.startsWith(':')));
});

test('heads that would be read otherwise elsewhere are refused on HTTP/2 too', async (t) => {
  const { url } = await startUpstream(t, () => assert.fail('nothing gets here'));
  const { gateway } = await startWorld(t, url);
  const client = h2ClientOf(t, gateway.url, alice);
  const cases: [Record<string, string>, number, string][] = [
    [{ ':path': '/../admin' }, 400, 'ERR_GATEWAY_TARGET'],
    [{ ':path': '/%61dmin/..%2f' }, 400, 'ERR_GATEWAY_TARGET'],
    [{ ':path': '/', ':authority': 'a.example', host: 'b.example' }, 400, 'ERR_GATEWAY_HOST'],
    [{ ':path': '/', ':authority': 'a b' }, 400, 'ERR_GATEWAY_HOST'],
    [{ ':path': '/', ':method': 'delete' }, 400, 'ERR_GATEWAY_MALFORMED'],
    [{ ':path': '/x', ':method': 'DELETE' }, 403, 'ERR_AUTHZ_DENIED'],
    [{ ':path': '/', 'content-length': '5, 5' }, 400, 'ERR_GATEWAY_FRAMING'],
  ];
  for (const [headers, status, code] of cases) {
    const answer = await answerOf(client.session.request(headers, { endStream: true }));
    // nghttp2 refuses some of them by itself
    if (answer.status === 0) assert.notEqual(answer.rstCode, 0, JSON.stringify(headers));
    else assert.deepEqual([answer.status, JSON.parse(answer.body).code], [status, code]);
  }
  const connect = client.session.request({ ':method': 'CONNECT', ':authority': 'a.example:25' });
  assert.equal((await answerOf(connect, '')).status, 501);
  const other = h2ClientOf(t, gateway.url, mallory);
  assert.equal((await other.ask('/')).status, 403);
});

test('a request for another host than the connection’s is misdirected, on HTTP/2 too', async (t) => {
  const { url } = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, url);
  const options = { ...tlsOf(alice), servername: 'a.example' };
  const session = http2.connect(gateway.url, options);
  t.after(() => session.destroy());
  const ask = (authority: string) =>
    answerOf(session.request({ ':path': '/', ':authority': authority }, { endStream: true }));
  assert.equal((await ask('a.example')).status, 200);
  assert.equal((await ask('b.example')).status, 421);
});

test('a listener of one version refuses the other, and an upstream that lacks it is told apart', async (t) => {
  const h1 = await startUpstream(t, echo);
  const only = await startWorld(t, h1.url, { yaml: '', listenYaml: ', protocol: h1' });
  const socket = tls.connect({ port: only.gateway.port, ...tlsOf(alice), ALPNProtocols: ['h2'] });
  await assert.rejects(once(socket, 'secureConnect'), { code: /ERR_SSL/ });
  const { gateway } = await startWorld(t, h1.url, { upstreamYaml: ', protocol: h2' });
  const answer = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(answer.status, 502);
});

test('bodies are taken at the pace of the slower side, both ways', async (t) => {
  let sent = 0;
  let taken = 0;
  let letGo = (): void => {};
  const h2 = await startH2Upstream(t, (stream, headers) => {
    if (headers[':path'] === '/up') {
      letGo = () => {
        stream.on('data', (chunk: Uint8Array) => {
          taken += chunk.byteLength;
        });
      };
      return void stream.on('end', () => {
        stream.respond();
        stream.end(String(taken));
      });
    }
    stream.respond();
    const chunk = Buffer.alloc(65_536);
    const pour = (): void => {
      while (sent < 64 * chunk.byteLength) {
        sent += chunk.byteLength;
        if (!stream.write(chunk)) return;
      }
      stream.end();
    };
    stream.on('drain', pour);
    pour();
  });
  const { gateway } = await startWorld(t, h2.url, { upstreamYaml: ', protocol: h2' });
  const client = h2ClientOf(t, gateway.url, alice);
  const down = client.open('/down', {}, true);
  await once(down, 'response');
  await settled(() => sent);
  assert.ok(
    sent < 3_000_000,
    `${sent} bytes of the response were held for a client that reads nothing`,
  );
  let got = 0;
  for await (const chunk of down) got += (chunk as Uint8Array).byteLength;
  assert.equal(got, 64 * 65_536);

  const up = client.open('/up', { ':method': 'POST' });
  const answer = answerOf(up);
  let written = 0;
  const chunk = Buffer.alloc(65_536);
  const pour = (): void => {
    while (written < 64 * chunk.byteLength) {
      written += chunk.byteLength;
      if (!up.write(chunk)) return void up.once('drain', pour);
    }
    up.end();
  };
  pour();
  await settled(() => written);
  assert.ok(
    written < 3_000_000,
    `${written} bytes of a body were held for an upstream that reads nothing`,
  );
  letGo();
  assert.equal((await answer).body, String(64 * 65_536));
});

test('trailers reach whoever looks at them, and nothing that frames or identifies travels so', async (t) => {
  const h1 = await startUpstream(t, (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum' });
    response.write('body');
    response.addTrailers({ 'x-sum': '1', 'set-cookie': 'a=b' });
    response.end();
  });
  const { gateway } = await startWorld(t, h1.url);
  const client = h2ClientOf(t, gateway.url, alice);
  const told = await client.ask('/', { te: 'trailers' });
  assert.equal(JSON.stringify(told.trailers), '{"x-sum":"1"}');
  assert.equal(JSON.stringify((await client.ask('/')).trailers), '{}');
  const sent = clientOf(t, gateway.url, alice).request('/', {
    headers: { te: 'trailers' },
    body: '',
  });
  const [response] = await once(sent, 'response');
  assert.equal(await textOf(response), 'body');
  assert.deepEqual(response.trailers, { 'x-sum': '1' });
});

/** Once a figure no longer grows. */
async function settled(figure: () => number): Promise<void> {
  let before = -1;
  for (let same = 0; same < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = figure() === before ? same + 1 : 0;
    before = figure();
  }
}
