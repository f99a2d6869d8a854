import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import type { PeerProcess } from '../peer/peer-process.ts';
import { duplex, serverStream, unary } from './grpc-method.ts';
import { GrpcServer } from './grpc-server.ts';
import { callStatus, grpcStatus } from './grpc-status.ts';
import { frameOf, MessageReader } from './message-frames.ts';
import type { ServerCall } from './server-call.ts';

const text = (words: string) => Buffer.from(words);
const request = {
  decode(bytes: Uint8Array) {
    if (bytes[0] === 0xff) throw new Error('no text');
    return Buffer.from(bytes).toString();
  },
};
const nobody = {} as PeerProcess;

/** As it came, and how it ended. */
interface Heard {
  readonly http: number;
  readonly messages: readonly string[];
  readonly status: number | undefined;
  readonly details: string;
  readonly headers: IncomingHttpHeaders;
}

describe('gRPC as it is on the wire', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-grpc-'));
  const path = join(directory, 'socket');
  const grpc = new GrpcServer({ clock: systemClock, log: noLog });
  const flooded: ServerCall[] = [];
  let net: Server;
  let session: ClientHttp2Session;
  before(async () => {
    grpc.add([
      unary({ path: '/s/Echo', request }, async (_, asked) => text(`echo ${asked}`)),
      unary({ path: '/s/Refuse', request }, async () => callStatus('unavailable', 'come ä 100%')),
      unary({ path: '/s/Fail', request }, () => Promise.reject(new Error('inner detail'))),
      unary({ path: '/s/Never', request }, () => new Promise(() => {})),
      serverStream({ path: '/s/Twice', request }, (call, asked) => {
        call.send(text(`${asked} 1`));
        call.send(text(`${asked} 2`));
        call.end();
      }),
      serverStream({ path: '/s/Flood', request }, (call) => {
        flooded.push(call);
        while (!call.isBehind) call.send(Buffer.alloc(10_000));
      }),
      duplex({ path: '/s/Chat', request }, async (call) => {
        await new Promise((resolve) => setImmediate(resolve));
        return (asked) => call.send(text(`heard ${asked}`));
      }),
    ]);
    net = createServer((socket: Socket) => {
      socket.on('error', () => {});
      grpc.serve(socket, nobody);
    });
    net.listen(path);
    await once(net, 'listening');
    session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  });
  after(async () => {
    const closed = once(net, 'close');
    net.close();
    await grpc.close(50);
    await closed;
    rmSync(directory, { recursive: true });
  });

  const open = (name: string, more: IncomingHttpHeaders = {}) =>
    session.request({
      ':method': 'POST',
      ':path': `/s/${name}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...more,
    });
  const ask = (name: string, body: Buffer, more: IncomingHttpHeaders = {}) =>
    heard(open(name, more).end(body));

  it('answers one request once, and a stream of answers ends with its status', async () => {
    const { messages, status, http } = await ask('Echo', frameOf(text('a')), {
      'content-type': 'application/grpc+proto',
      'grpc-encoding': 'identity',
      'grpc-timeout': '30S',
    });
    assert.deepEqual([http, messages, status], [200, ['echo a'], grpcStatus.ok]);
    const twice = await ask('Twice', frameOf(text('b')));
    assert.deepEqual([twice.messages, twice.status], [['b 1', 'b 2'], grpcStatus.ok]);
  });

  it('reads requests cut anywhere, several at once, and paused until the method takes them', async () => {
    const stream = open('Chat');
    const body = Buffer.concat(['one', '', 'three'].map((word) => frameOf(text(word))));
    for (const byte of body) stream.write(Buffer.of(byte));
    stream.end();
    const { messages, status } = await heard(stream);
    assert.deepEqual(messages, ['heard one', 'heard ', 'heard three']);
    assert.equal(status, grpcStatus.ok);
  });

  it('tells a refusal in words that a header can hold, and of a failure nothing', async () => {
    const refused = await ask('Refuse', frameOf(text('')));
    assert.equal(refused.status, grpcStatus.unavailable);
    assert.equal(refused.headers['grpc-message'], 'come %C3%A4 100%25');
    const failed = await ask('Fail', frameOf(text('')));
    assert.deepEqual([failed.status, failed.details], [grpcStatus.internal, 'the call failed']);
  });

  const oneTooLong = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
  const refusals = [
    ['an unknown method', 'Other', Buffer.alloc(5), {}, 'unimplemented', /no such method/],
    [
      'compression, and says what is read instead',
      'Echo',
      Buffer.alloc(5),
      { 'grpc-encoding': 'gzip' },
      'unimplemented',
      /without compression/,
    ],
    ['a compressed message', 'Echo', Buffer.from([1, 0, 0, 0, 0]), {}, 'internal', /compressed/],
    ['a message that is too long', 'Echo', oneTooLong, {}, 'resourceExhausted', /2147483647 bytes/],
    ['a request that is cut off', 'Echo', Buffer.alloc(3), {}, 'internal', /within a message/],
    ['no request', 'Echo', Buffer.alloc(0), {}, 'unimplemented', /none came/],
    ['two requests for one', 'Echo', Buffer.alloc(10), {}, 'unimplemented', /more came/],
    ['what is no message', 'Echo', frameOf(Buffer.of(0xff)), {}, 'internal', /no such message/],
    [
      'a deadline that is none',
      'Echo',
      Buffer.alloc(5),
      { 'grpc-timeout': '1 h' },
      'internal',
      /grpc-timeout/,
    ],
    [
      'a call whose deadline is over',
      'Never',
      Buffer.alloc(5),
      { 'grpc-timeout': '1m' },
      'deadlineExceeded',
      /deadline/,
    ],
  ] as const;
  for (const [what, name, body, headers, status, details] of refusals) {
    it(`refuses ${what}`, async () => {
      const ended = await ask(name, body, headers);
      assert.equal(ended.status, grpcStatus[status]);
      assert.match(ended.details, details);
      assert.equal(ended.headers['grpc-accept-encoding'], 'identity');
    });
  }

  it('answers what is no gRPC as HTTP', async () => {
    assert.equal((await ask('Echo', Buffer.alloc(5), { 'content-type': 'text/plain' })).http, 415);
    assert.equal((await ask('Echo', Buffer.alloc(5), { ':method': 'PUT' })).http, 405);
  });

  it('knows whose reader is behind, and when it has caught up', async () => {
    const stream = open('Flood');
    stream.end(Buffer.alloc(5));
    await once(stream, 'response', { signal: AbortSignal.timeout(30_000) });
    const [call] = flooded;
    assert.ok(call?.isBehind);
    const drained = new Promise<void>((resolve) => {
      call.onDrain = resolve;
    });
    stream.resume();
    await drained;
    assert.equal(call.isBehind, false);
    const over = new Promise<void>((resolve) => call.onOver(resolve));
    stream.close();
    await over;
    assert.ok(call.isOver);
    call.send(Buffer.alloc(1));
    call.end();
  });

  it('bounds the streams of one connection', async () => {
    const other = connectHttp2('http://localhost', { createConnection: () => connect(path) });
    await once(other, 'remoteSettings', { signal: AbortSignal.timeout(30_000) });
    assert.equal(other.remoteSettings.maxConcurrentStreams, 1000);
    other.destroy();
  });

  it('ends a connection that speaks something else, and no other', async () => {
    const stray = connect(path);
    stray.end('GET / HTTP/1.1\r\n\r\n');
    stray.resume();
    await once(stray, 'close', { signal: AbortSignal.timeout(30_000) });
    assert.equal((await ask('Echo', frameOf(text('still')))).messages[0], 'echo still');
  });

  it('closes by ending what follows as unavailable, and lets the rest be answered', async () => {
    const following = open('Chat');
    following.write(frameOf(text('a')));
    await once(following, 'data', { signal: AbortSignal.timeout(30_000) });
    const ended = heard(following);
    const closing = grpc.close(30_000);
    assert.equal((await ended).status, grpcStatus.unavailable);
    following.end();
    await closing;
    assert.ok(session.closed);
  });
});

describe('messages in the body of a call', () => {
  it('are found however the body is cut', () => {
    const words = ['', 'a', 'b'.repeat(300), '', 'c'.repeat(70_000)];
    const body = Buffer.concat(words.map((word) => frameOf(text(word))));
    for (const size of [1, 2, 3, 7, 305, 4096, body.length]) {
      const reader = new MessageReader(100_000);
      const found: string[] = [];
      for (let at = 0; at < body.length; at += size) {
        const messages = reader.read(body.subarray(at, at + size));
        assert.ok(!('code' in messages));
        found.push(...messages.map((each) => Buffer.from(each).toString()));
      }
      assert.deepEqual(found, words);
      assert.ok(reader.isAtEnd);
    }
  });
});

async function heard(stream: ClientHttp2Stream): Promise<Heard> {
  const chunks: Buffer[] = [];
  let headers: IncomingHttpHeaders = {};
  const take = (more: IncomingHttpHeaders) => {
    headers = { ...headers, ...more };
  };
  stream.on('response', take);
  stream.on('trailers', take);
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end', { signal: AbortSignal.timeout(30_000) });
  const messages = new MessageReader(1_000_000).read(Buffer.concat(chunks));
  const status = headers['grpc-status'];
  return {
    http: Number(headers[':status']),
    messages: 'code' in messages ? [] : messages.map((each) => Buffer.from(each).toString()),
    status: status === undefined ? undefined : Number(status),
    details: decodeURIComponent(String(headers['grpc-message'] ?? '')),
    headers,
  };
}
