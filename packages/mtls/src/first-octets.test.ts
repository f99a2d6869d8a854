import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '@countersign/base';
import { beginsTls, firstOctets } from './first-octets.ts';

const hello = Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);

test('a handshake is told from everything else as soon as its octets differ', () => {
  assert.equal(beginsTls(hello), true);
  for (let length = 0; length < 6; length += 1) {
    assert.equal(beginsTls(hello.subarray(0, length)), undefined, `${length} octets`);
  }
  for (const other of ['GET / HTTP/1.1', 'PRI * HTTP/2.0', '\n', '\x16SSH', '\x16\x03\x01aa\x02']) {
    assert.equal(beginsTls(Buffer.from(other, 'latin1')), false, JSON.stringify(other));
  }
});

test('what was looked at is read again from its start, however it came', async (t) => {
  const { client, server } = await pair(t);
  const found = firstOctets(server, { judge: beginsTls, waitMs: 30_000, clock: systemClock });
  for (const octet of hello.subarray(0, 6)) {
    client.write(Buffer.from([octet]));
    await setImmediate();
  }
  assert.deepEqual(await found, { kind: 'told', told: true });
  client.end(hello.subarray(6));
  const chunks: Buffer[] = [];
  for await (const chunk of server) chunks.push(chunk as Buffer);
  assert.deepEqual(Buffer.concat(chunks), hello);
});

test('silence, a start that never ends and a client that leaves are told apart', async (t) => {
  const silent = await pair(t);
  const options = { judge: beginsTls, clock: systemClock };
  assert.deepEqual(await firstOctets(silent.server, { ...options, waitMs: 20 }), {
    kind: 'silent',
  });
  // A server that speaks first does, and hears the answer.
  silent.server.write('220 ready\r\n');
  silent.client.once('data', () => silent.client.end('HELO'));
  const [heard] = await once(silent.server, 'data');
  assert.equal(String(heard), 'HELO');
  const slow = await pair(t);
  slow.client.write(hello.subarray(0, 3));
  assert.deepEqual(await firstOctets(slow.server, { ...options, waitMs: 200 }), { kind: 'slow' });
  const gone = await pair(t);
  gone.client.end();
  assert.deepEqual(await firstOctets(gone.server, { ...options, waitMs: 30_000 }), {
    kind: 'gone',
  });
});

async function pair(t: TestContext): Promise<{ client: Socket; server: Socket }> {
  const listening = createServer({ allowHalfOpen: true });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const client = connect((listening.address() as AddressInfo).port, '127.0.0.1');
  client.setNoDelay(true);
  const [server] = (await once(listening, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    server.destroy();
    listening.close();
  });
  return { client, server };
}
