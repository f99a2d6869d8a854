import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import {
  alice,
  clientOf,
  credentialOf,
  startUpstream,
  startWorld,
  tlsOf,
} from './gateway-world.suite.ts';
import { answerOf, h2ClientOf } from './protocol-world.suite.ts';
import { beginHttp2, flagsOf, frame, literal, noBytes } from './raw-frames.suite.ts';

const bob = credentialOf('bob');
const { endStream, endHeaders } = flagsOf;
/** HPACK: `:method GET`, `:scheme https`, `:path /`, `:authority a`. */
const smallHead = Buffer.from([0x82, 0x87, 0x84, 0x41, 0x01, 0x61]);
const request = (stream: number, flags = endStream | endHeaders) =>
  frame('headers', flags, stream, smallHead);

/** Pours what `next` gives, until that is all or the gateway ends the connection. */
async function pour(
  t: TestContext,
  port: number,
  next: (i: number) => Uint8Array,
  most: number,
): Promise<{ readonly sent: number; readonly ended: Promise<unknown> }> {
  const { socket, ended } = await beginHttp2(t, port, alice);
  socket.resume();
  let sent = 0;
  for (; sent < most && socket.writable && !socket.destroyed; sent += 1) {
    if (!socket.write(next(sent))) {
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), ended]);
    }
    if (sent % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { sent, ended };
}

async function worldOf(t: TestContext, yaml = '') {
  let served = 0;
  const upstream = await startUpstream(t, (_request, response) => {
    served += 1;
    response.end('ok');
  });
  const { gateway } = await startWorld(t, upstream.url, { yaml });
  const innocent = h2ClientOf(t, gateway.url, bob);
  return { gateway, innocent, served: () => served };
}

test('floods end their own connection, and nobody else’s', async (t) => {
  const { gateway, innocent } = await worldOf(t);
  assert.equal((await innocent.ask('/')).status, 200);
  const settings = Buffer.from([0, 3, 0, 0, 0, 100]);
  const floods: Record<string, [(i: number) => Uint8Array, number]> = {
    'requests that are reset at once (CVE-2023-44487)': [
      (i) =>
        Buffer.concat([
          request(2 * i + 1),
          frame('reset', 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
        ]),
      5000,
    ],
    'pings (CVE-2019-9512)': [() => frame('ping', 0, 0, Buffer.alloc(8)), 50_000],
    'settings (CVE-2019-9515)': [() => frame('settings', 0, 0, settings), 5000],
    'continuations without an end (CVE-2024-27983)': [
      (i) => (i === 0 ? request(1, 0) : frame('continuation', 0, 1, Buffer.from([0x82]))),
      5000,
    ],
    'heads of a frame each that go on (CVE-2024-28182)': [
      (i) =>
        i === 0
          ? frame('headers', 0, 1, smallHead)
          : frame('continuation', 0, 1, literal(`x-${i}`, 'y'.repeat(200))),
      5000,
    ],
    'frames of more than the allowed size': [() => frame('data', 0, 1, Buffer.alloc(20_000)), 50],
    'data for streams that nobody opened': [
      (i) => frame('data', 0, 2 * i + 1, Buffer.alloc(10)),
      5000,
    ],
    'empty data (CVE-2019-9518)': [
      (i) => (i === 0 ? request(1, endHeaders) : frame('data', 0, 1, noBytes)),
      50_000,
    ],
  };
  for (const [name, [next, most]] of Object.entries(floods)) {
    const { sent, ended } = await pour(t, gateway.port, next, most);
    assert.ok(sent < most, `${name}: all of ${most} were taken`);
    await within(ended, name);
    assert.equal((await innocent.ask('/')).status, 200, name);
  }
});

test('a client may give up as many requests as it may have, and go on', async (t) => {
  const { gateway } = await worldOf(t);
  const client = h2ClientOf(t, gateway.url, alice);
  const given = Array.from({ length: 90 }, () => client.open('/', {}, true));
  await once(client.session, 'remoteSettings');
  for (const stream of given) stream.close(8);
  assert.equal((await client.ask('/')).status, 200);
});

test('streams and heads are bounded by the configuration', async (t) => {
  const limits = 'limits: { maxConcurrentStreams: 5, maxHeaderBytes: 4096 }';
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/other') response.end('ok');
  });
  const { gateway } = await startWorld(t, upstream.url, { yaml: limits });
  const client = h2ClientOf(t, gateway.url, alice);
  await once(client.session, 'remoteSettings');
  assert.equal(client.session.remoteSettings.maxConcurrentStreams, 5);
  assert.equal(client.session.remoteSettings.maxHeaderListSize, 4096);
  const fat = await answerOf(client.open('/', { 'x-fat': 'x'.repeat(5000) }, true));
  assert.equal(fat.status, 0);
  assert.notEqual(fat.rstCode, 0);
  await pour(t, gateway.port, (i) => request(2 * i + 1), 40);
  await until(() => gateway.stats().requestsInFlight === 5);
  assert.equal((await clientOf(t, gateway.url, bob).ask('/other')).status, 200);
  assert.equal(gateway.stats().requestsInFlight, 5, 'of forty on one connection');
});

test('a client that opens a connection and says nothing, or does not end its head, is not waited for', async (t) => {
  const { gateway } = await worldOf(t, 'limits: { idleTimeout: 200ms, stallTimeout: 300ms }');
  const socket = tls.connect({ port: gateway.port, ALPNProtocols: ['h2'], ...tlsOf(alice) });
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'close');
  const half = await pour(t, gateway.port, () => request(1, 0), 1);
  await within(half.ended, 'half a head');
  const stalled = h2ClientOf(t, gateway.url, alice);
  const stream = stalled.open('/', { ':method': 'POST' });
  await new Promise((resolve) => stream.once('close', resolve));
  assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
});

async function within(ended: Promise<unknown>, what: string): Promise<void> {
  const late = new Promise((_, reject) => {
    setTimeout(reject, 30_000, new Error(`${what} was not ended`)).unref();
  });
  await Promise.race([ended, late]);
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < end, 'waited for too long');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
