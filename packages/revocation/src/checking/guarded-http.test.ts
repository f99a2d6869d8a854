import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type CountersignError, systemClock } from '@countersign/base';
import { AddressGuard, isNetwork } from '@countersign/wire';
import { GuardedHttp, type GuardedHttpOptions, type HttpQuestion } from './guarded-http.ts';

test('an answer is given whole, and the request says as little as it can', async (t) => {
  const requests: IncomingMessage[] = [];
  const url = await serve(t, (request, response) => {
    requests.push(request);
    response.setHeader('etag', '"7"');
    response.end('list');
  });
  const answer = await ask(`${url}/x.crl?a=b`);
  assert.ok(answer.status === 200);
  assert.equal(Buffer.from(answer.body).toString(), 'list');
  assert.equal(answer.headers.etag, '"7"');
  const [{ url: path, method, headers }] = requests as [IncomingMessage];
  assert.deepEqual([method, path], ['GET', '/x.crl?a=b']);
  assert.deepEqual(Object.keys(headers).sort(), [
    'accept-encoding',
    'connection',
    'host',
    'user-agent',
  ]);
});

test('a body is posted, and a list that has not changed is said to be so', async (t) => {
  const url = await serve(t, async (request, response) => {
    const sent = Buffer.concat(await request.toArray()).toString();
    response.writeHead(sent === 'question' ? 304 : 400).end();
  });
  const answer = await ask(url, { body: Buffer.from('question') });
  assert.equal(answer.status, 304);
});

test('what is no answer is refused with its reason', async (t) => {
  const cases: [RequestListener, Partial<HttpQuestion>, string, RegExp][] = [
    [
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      {},
      'ERR_REVOCATION_ANSWER',
      /redirects to "http:\/\/127\.0\.0\.1:1\/", which is not followed/,
    ],
    [
      (_, response) => response.writeHead(404).end('no'),
      {},
      'ERR_REVOCATION_ANSWER',
      /status 404, expected 200$/,
    ],
    [
      (_, response) => response.end('x'.repeat(11)),
      { maxBytes: 10 },
      'ERR_REVOCATION_ANSWER',
      /longer than 10 bytes/,
    ],
    [
      (_, response) => {
        response.write('x'.repeat(8));
        setImmediate(() => response.end('x'.repeat(8)));
      },
      { maxBytes: 10 },
      'ERR_REVOCATION_ANSWER',
      /longer than 10 bytes/,
    ],
    [
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
      {},
      'ERR_REVOCATION_ANSWER',
      /content encoding "gzip"/,
    ],
    [
      (_, response) => {
        response.writeHead(200, { 'content-length': 5 }).write('abc');
        setTimeout(() => response.destroy(), 10);
      },
      {},
      'ERR_REVOCATION_UNREACHABLE',
      /aborted|ECONNRESET/,
    ],
    [({ socket }) => socket.destroy(), {}, 'ERR_REVOCATION_UNREACHABLE', /ECONNRESET/],
  ];
  for (const [listener, question, code, message] of cases) {
    const url = await serve(t, listener);
    await assert.rejects(ask(url, question), (thrown: CountersignError) => {
      assert.equal(thrown.code, code);
      assert.match(thrown.message, message);
      assert.ok(thrown.message.includes(url));
      return true;
    });
  }
});

test('a server that is silent, or drips for ever, is given up in time', async (t) => {
  const drips: RequestListener = (_, response) => {
    const timer = setInterval(() => response.write('x'), 5);
    response.on('close', () => clearInterval(timer));
  };
  for (const listener of [() => {}, drips]) {
    const url = await serve(t, listener);
    const startedAt = performance.now();
    await assert.rejects(ask(url, {}, { timeoutMs: 60 }), {
      code: 'ERR_REVOCATION_UNREACHABLE',
      message: /no whole answer within 60 ms/,
    });
    assert.ok(performance.now() - startedAt < 20_000);
  }
});

test('the caller can give up', async (t) => {
  const url = await serve(t, () => {});
  const giveUp = new AbortController();
  const asked = ask(url, { signal: giveUp.signal });
  setImmediate(() => giveUp.abort());
  await assert.rejects(asked, { code: 'ERR_REVOCATION_UNREACHABLE' });
});

test('a certificate cannot send us to this machine or its neighbours, by address or by name', async (t) => {
  let hits = 0;
  const url = await serve(t, (_, response) => {
    hits += 1;
    response.end();
  });
  const { port } = new URL(url);
  for (const host of [
    ...['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1'],
    ...['10.1.2.3', '169.254.169.254', '192.168.0.1', '0.0.0.0', '[fe80::1]', '[64:ff9b::7f00:1]'],
  ]) {
    await assert.rejects(ask(`http://${host}:${port}/`, { isConfigured: false }), {
      code: 'ERR_REVOCATION_ADDRESS',
      message: /is no public address/,
    });
  }
  assert.equal(hits, 0);
  await ask(`http://127.0.0.1:${port}/`, { isConfigured: false }, { allow: ['127.0.0.0/8'] });
  await ask(
    `http://localhost:${port}/`,
    { isConfigured: false },
    { allow: ['127.0.0.1', '::1/128'] },
  );
  assert.equal(hits, 2);
});

test('only plain http without a user name is asked, configured or not', async () => {
  for (const url of [
    ...['https://crl.test/a.crl', 'ldap://crl.test/', 'file:///etc/passwd', 'ftp://crl.test/'],
    ...[
      'http://user@crl.test/',
      'http://:secret@crl.test/',
      'no address',
      `http://a/${'x'.repeat(2100)}`,
    ],
  ]) {
    for (const isConfigured of [true, false]) {
      await assert.rejects(ask(url, { isConfigured }), { code: 'ERR_REVOCATION_ADDRESS' }, url);
    }
  }
});

test('what is public is told from what is not', () => {
  const guard = new AddressGuard(['10.0.0.0/8', '2001:db8::5']);
  for (const address of [
    ...['8.8.8.8', '::ffff:8.8.8.8', '2606:4700::1111', '10.9.9.9', '2001:db8::5'],
    ...['::ffff:10.0.0.1', '172.32.0.1', '100.128.0.1'],
  ]) {
    assert.equal(guard.refuses(address), undefined, address);
  }
  for (const address of [
    ...['172.31.255.255', '100.64.0.1', '255.255.255.255', '224.0.0.1', '2001:db8::6', '::'],
    ...['fd00::1', 'fe80::1%eth0', 'ff02::1', '2002:7f00:1::', '::ffff:192.168.1.1', '198.19.0.1'],
  ]) {
    assert.match(guard.refuses(address) ?? '', /is no public address$/, address);
  }
  assert.ok(isNetwork('10.0.0.0/8') && isNetwork('::1'));
  for (const text of ['10.0.0.1/8', '10.0.0/8', 'localhost', '10.0.0.0/33', '']) {
    assert.ok(!isNetwork(text), text);
    assert.throws(() => new AddressGuard([text]), { code: 'ERR_USAGE' });
  }
});

test('look-ups are bounded in all and for each host, and a slow host holds up no other', async (t) => {
  let open = 0;
  let most = 0;
  const held: (() => void)[] = [];
  const slow = await serve(t, (_, response) => {
    open += 1;
    most = Math.max(most, open);
    held.push(() => {
      open -= 1;
      response.end();
    });
  });
  const quick = await serve(t, (_, response) => response.end());
  const http = new GuardedHttp({ clock: systemClock, maxConcurrent: 6 });
  const question = { isConfigured: true, maxBytes: 10, signal: new AbortController().signal };
  const asked = Array.from({ length: 12 }, () => http.ask({ ...question, url: slow }));
  await http.ask({ ...question, url: quick });
  await http.ask({ ...question, url: quick });
  assert.equal(most, 4);
  let answered = 0;
  while (answered < 12) {
    held.splice(0).forEach((end) => {
      answered += 1;
      end();
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(asked);
  assert.equal(most, 4);
});

async function ask(
  url: string,
  question: Partial<HttpQuestion> = {},
  options: Partial<GuardedHttpOptions> = {},
) {
  const { signal } = new AbortController();
  return new GuardedHttp({ clock: systemClock, ...options }).ask({
    ...{ url, isConfigured: true, maxBytes: 1000, signal },
    ...question,
  });
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
