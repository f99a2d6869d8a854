import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { type TestCa, type TestCredential, testCa } from '@countersign/testkit';
import { followWorkloadApi } from './follow-workload-api.ts';
import { parseX509Response } from './x509-response.ts';
import { workloadSocket } from './x509-stream.ts';

const ca = testCa();
const foreign = testCa();
const me = 'spiffe://example.org/ns/default/sa/router';
const directory = mkdtempSync(join(tmpdir(), 'workload-'));
const socket = join(directory, 'agent.sock');

/** An agent that gives what a test tells it to. */
const streams: ServerHttp2Stream[] = [];
let first: Buffer;
const server = http2.createServer();
before(async () => {
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const isAsked = headers['workload.spiffe.io'] === 'true';
    if (!isAsked || headers[':path'] !== '/SpiffeWorkloadAPI/FetchX509SVID') {
      stream.respond(
        { 'content-type': 'application/grpc', 'grpc-status': '3' },
        { endStream: true },
      );
      return;
    }
    streams.push(stream);
    stream.on('error', () => {});
    stream.respond({ 'content-type': 'application/grpc' });
    if (first.length > 0) stream.write(first);
    else stream.close();
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});
after(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.of((number << 3) | 2, ...length), bytes]);
}

function svid(id: string, { chain, privateKey }: TestCredential, of: TestCa): Buffer {
  const key = privateKey.export({ format: 'der', type: 'pkcs8' });
  const certificates = chain.map((each) =>
    'raw' in each ? (each as { raw: Uint8Array }).raw : each,
  );
  return field(
    1,
    Buffer.concat([
      field(1, Buffer.from(id)),
      field(2, Buffer.concat(certificates as Uint8Array[])),
      field(3, key),
      field(4, of.root.raw),
    ]),
  );
}

function frame(...fields: Buffer[]): Buffer {
  const message = Buffer.concat(fields);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const federated = field(
  3,
  Buffer.concat([field(1, Buffer.from('spiffe://other.example')), field(2, foreign.root.raw)]),
);

test('an identity comes from the socket, with the bundles of other trust domains, and is replaced by the next', async () => {
  first = frame(svid(me, ca.svid(me), ca), federated);
  const live = await followWorkloadApi({
    ...{ address: `unix://${socket}`, clock: systemClock, log: noLog },
  });
  const serial = live.svid().serialHex;
  assert.equal(live.svid().spiffeId.toString(), me);
  assert.deepEqual(live.trustDomains, ['example.org', 'other.example']);
  const [authority] = live.bundle('other.example')?.authorities ?? [];
  assert.deepEqual(authority?.raw, foreign.root.raw);
  assert.equal(live.bundle('third.example'), undefined);

  const changed = new Promise<void>((resolve) => live.onChange(resolve));
  // In two pieces, as a socket may give it.
  const next = frame(svid(me, ca.svid(me), ca));
  streams.at(-1)?.write(next.subarray(0, 40));
  streams.at(-1)?.write(next.subarray(40));
  await changed;
  assert.notEqual(live.svid().serialHex, serial);
  assert.deepEqual(live.trustDomains, ['example.org']);
  live.stop();
});

test('what does not prove itself, and an agent that goes away, leave the identity that there is', async () => {
  first = frame(svid(me, ca.svid(me), ca));
  const live = await followWorkloadApi({ address: socket, clock: systemClock, log: noLog });
  const { serialHex } = live.svid();
  const seen: string[] = [];
  const changed = new Promise<void>((resolve) => {
    live.onChange(() => {
      seen.push(live.svid().serialHex);
      resolve();
    });
  });
  first = frame(svid(me, ca.svid(me), ca));
  // It hangs up on what another authority signed, calls again, and takes what is right.
  streams.at(-1)?.write(frame(svid(me, ca.svid(me), foreign)));
  await changed;
  assert.equal(seen.length, 1);
  assert.notEqual(seen[0], serialHex);
  assert.equal(live.svid().spiffeId.toString(), me);
  assert.deepEqual(live.bundle('example.org')?.authorities[0]?.raw, ca.root.raw);
  live.stop();
});

test('one of several identities is chosen by name', async () => {
  const other = 'spiffe://example.org/other';
  first = frame(svid(other, ca.svid(other), ca), svid(me, ca.svid(me), ca));
  const options = { address: socket, clock: systemClock, log: noLog };
  const named = await followWorkloadApi({ ...options, spiffeId: me });
  assert.equal(named.svid().spiffeId.toString(), me);
  named.stop();
  const any = await followWorkloadApi(options);
  assert.equal(any.svid().spiffeId.toString(), other);
  any.stop();
});

test('a name that the agent never gives, and an agent that says nothing, are waited for no longer than asked', {
  timeout: 30_000,
}, async (t) => {
  const other = 'spiffe://example.org/other';
  first = frame(svid(me, ca.svid(me), ca));
  const options = { address: socket, clock: systemClock, log: noLog, waitMs: 300 };
  await assert.rejects(followWorkloadApi({ ...options, spiffeId: other }), {
    code: 'ERR_IDENTITY_WORKLOAD_API',
    message: `no identity "${other}" at "${socket}" within 300ms: identity of the Workload API: it gave "${me}", expected "${other}"`,
  });
  first = Buffer.alloc(0);
  await assert.rejects(followWorkloadApi(options), {
    code: 'ERR_IDENTITY_WORKLOAD_API',
    message: /^no identity at ".*" within 300ms: fetch an identity at ".*": status nothing$/,
  });
  // One that takes the call and never answers it, and one that does not even speak HTTP/2.
  const silent = createServer((taken) => t.after(() => taken.destroy()));
  const mute = join(directory, 'mute.sock');
  await new Promise<void>((resolve) => silent.listen(mute, resolve));
  t.after(() => silent.close());
  first = frame();
  for (const address of [mute, join(directory, 'nobody.sock')]) {
    await assert.rejects(followWorkloadApi({ ...options, address }), {
      code: 'ERR_IDENTITY_WORKLOAD_API',
      message: /^no identity at ".*" within 300ms: (no answer came|fetch .*ENOENT)$/,
    });
  }
});

test('broken answers and addresses are refused', () => {
  for (const hex of ['0a05aa', '0b', '0affffffffff7f', '0a']) {
    const read = () => parseX509Response(Buffer.from(hex, 'hex'));
    assert.throws(read, { code: 'ERR_IDENTITY_RESPONSE' }, hex);
  }
  assert.equal(workloadSocket('unix:/run/agent.sock'), '/run/agent.sock');
  assert.throws(() => workloadSocket('tcp://127.0.0.1:1'), { code: 'ERR_IDENTITY_URL' });
});
