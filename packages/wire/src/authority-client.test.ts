import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CountersignError } from '@countersign/base';
import fc from 'fast-check';
import {
  AuthorityClient,
  type FeedFrame,
  formatFeedFrame,
  formatProblem,
  LineSplitter,
  maxFrameBytes,
  parseProblem,
  problemContentType,
  problemFrom,
  readFeed,
  type Transport,
} from './index.ts';

const hello: FeedFrame = {
  type: 'hello',
  trustDomain: 'example.com',
  anchors: ['ab'.repeat(32)],
  position: 7,
  heartbeatMs: 1000,
};
const heartbeat: FeedFrame = { type: 'heartbeat', position: 7, at: 1 };
const revocation: FeedFrame = {
  type: 'revocation',
  position: 7,
  previous: 0,
  by: 'serial',
  value: 'a1',
  reason: 'keyCompromise',
  at: 5,
};

test('a feed is read the same however it is cut into chunks', async () => {
  const frames = [hello, revocation, heartbeat];
  const whole = Buffer.from(frames.map(formatFeedFrame).join(''));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(whole.length), { maxLength: 40 }), async (cuts) => {
      const ends = [...new Set([...cuts, whole.length])].sort((a, b) => a - b);
      const chunks = ends.map((end, index) => whole.subarray(ends[index - 1] ?? 0, end));
      assert.deepEqual(await collect(readFeed(streamOf(chunks))), frames);
    }),
    { numRuns: 50 },
  );
  const bytewise = [...whole].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(await collect(readFeed(streamOf(bytewise))), frames);
});

test('a feed that breaks the rules is refused at the frame that does', async () => {
  const cases: [string, string, RegExp | string][] = [
    ['heartbeat first', formatFeedFrame(heartbeat), /begins with a heartbeat/],
    ['two hellos', formatFeedFrame(hello).repeat(2), /second hello/],
    ['half a frame', `${formatFeedFrame(hello)}{"type":`, /broke off 8 bytes into a frame/],
    ['an empty line', `${formatFeedFrame(hello)}\n`, 'ERR_WIRE_JSON'],
    ['an unknown type', `${formatFeedFrame(hello)}{"type":"x","position":1}\n`, 'ERR_WIRE_FEED'],
    [
      'an unknown member',
      formatFeedFrame(hello) + formatFeedFrame({ ...heartbeat, only: 1 } as never),
      'ERR_WIRE_UNKNOWN_MEMBER',
    ],
    [
      'an endless line',
      formatFeedFrame(hello) + 'x'.repeat(maxFrameBytes + 1),
      'ERR_WIRE_TOO_LARGE',
    ],
  ];
  for (const [name, text, expected] of cases) {
    await assert.rejects(
      collect(readFeed(streamOf([Buffer.from(text)]))),
      (thrown: CountersignError) => {
        if (typeof expected === 'string') assert.equal(thrown.code, expected, name);
        else assert.match(thrown.message, expected, name);
        return true;
      },
    );
  }
});

test('a splitter keeps at most one line of the limit, byte by byte as well', () => {
  const splitter = new LineSplitter(100);
  for (let i = 0; i < 100; i += 1) assert.deepEqual(splitter.push(Uint8Array.of(0x61)), []);
  assert.throws(() => splitter.push(Uint8Array.of(0x61)), { code: 'ERR_WIRE_TOO_LARGE' });
  assert.equal(splitter.push(Uint8Array.of(0x0a))[0]?.byteLength, 100);
});

test('a problem tells the stranger an id, the caller the code and the operator the detail', () => {
  const cause = { code: 'ERR_WIRE_MESSAGE', detail: 'member "csr" is missing' } as const;
  const stranger = problemFrom(cause, { id: 'x1', audience: 'stranger' });
  assert.deepEqual(stranger, { type: 'about:blank', title: 'Bad Request', status: 400, id: 'x1' });
  const caller = problemFrom(cause, { id: 'x1', audience: 'caller' });
  assert.equal(caller.code, 'ERR_WIRE_MESSAGE');
  assert.equal(caller.detail, undefined);
  const requester = problemFrom(cause, { id: 'x1', audience: 'requester' });
  assert.equal(requester.detail, cause.detail);
  const ours = { code: 'ERR_LEDGER_FAILED', detail: 'disk full' } as const;
  assert.equal(problemFrom(ours, { id: 'x1', audience: 'requester' }).detail, undefined);
  const operator = problemFrom(cause, { id: 'x1', audience: 'operator' });
  assert.ok(formatProblem(operator).endsWith('}\n'), 'a line of its own on a terminal');
  const read = parseProblem(Buffer.from(formatProblem(operator)), 400);
  assert.deepEqual(read, { status: 400, id: 'x1', code: cause.code, detail: cause.detail });
});

test('a problem with an invented code or terminal escapes is not believed', () => {
  const body = JSON.stringify({ code: 'ERR_MADE_UP', detail: 'a\u001b[2Jb' });
  assert.deepEqual(parseProblem(Buffer.from(body), 500), { status: 500, detail: 'a [2Jb' });
});

function clientOf(transport: Transport, timeoutMs = 200): AuthorityClient {
  return new AuthorityClient({ transport, url: 'https://127.0.0.1:1', timeoutMs });
}

test('a call throws the authority’s own code where it refused', async () => {
  const problem = problemFrom(
    { code: 'ERR_WIRE_UNSUPPORTED', detail: 'no' },
    { id: 'look-me-up', audience: 'caller' },
  );
  const client = clientOf(async () => ({
    status: 422,
    headers: { 'content-type': problemContentType },
    body: streamOf([Buffer.from(formatProblem(problem))]),
  }));
  await assert.rejects(client.renew({ csr: new Uint8Array(1) }), (thrown: CountersignError) => {
    assert.equal(thrown.code, 'ERR_WIRE_UNSUPPORTED');
    assert.match(thrown.message, /^POST https:\/\/127\.0\.0\.1:1\/v1\/renew: .*look-me-up/);
    return true;
  });
});

test('a call throws a code for every way not to be answered', async () => {
  const ok = (type: string, body: AsyncIterable<Uint8Array>) => async () => ({
    status: 200,
    headers: { 'content-type': type },
    body,
  });
  const cases: [string, Transport][] = [
    ['ERR_WIRE_UNREACHABLE', () => Promise.reject(new Error('connect ECONNREFUSED'))],
    ['ERR_TIMEOUT', ({ signal }) => aborted(signal)],
    ['ERR_WIRE_MEDIA_TYPE', ok('text/html', streamOf([]))],
    ['ERR_WIRE_JSON', ok('application/json', streamOf([Buffer.from('<')]))],
    ['ERR_WIRE_MESSAGE', ok('application/json; charset=utf-8', streamOf([Buffer.from('{}')]))],
    ['ERR_WIRE_TOO_LARGE', ok('application/json', endless())],
    ['ERR_WIRE_REFUSED', async () => ({ status: 502, headers: {}, body: streamOf([]) })],
  ];
  for (const [code, transport] of cases) {
    await assert.rejects(clientOf(transport, 50).status(), { code }, code);
  }
});

test('a feed asks from its cursor, yields frames as they come, and lets go when its reader leaves', async () => {
  const seen: { path?: string; signal?: AbortSignal } = {};
  const client = clientOf(async ({ path, signal }) => {
    Object.assign(seen, { path, signal });
    const chunks = [hello, revocation].map((frame) => Buffer.from(formatFeedFrame(frame)));
    return {
      status: 200,
      headers: { 'content-type': 'application/x-ndjson' },
      body: streamOf(chunks),
    };
  });
  for await (const frame of client.feed({ after: 5, instance: 'instance-1' })) {
    if (frame.type === 'revocation') break;
  }
  assert.equal(seen.path, '/v1/feed?after=5&instance=instance-1');
  assert.equal(seen.signal?.aborted, true);
});

test('a feed whose head does not come is given up, and a caller’s abort is the caller’s own', async () => {
  const never: Transport = ({ signal }) => aborted(signal);
  await assert.rejects(collect(clientOf(never, 30).feed({ after: 0, instance: 'instance-1' })), {
    code: 'ERR_TIMEOUT',
  });
  const reason = new Error('stopped');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(
    collect(clientOf(never).feed({ after: 0, instance: 'instance-1', signal })),
    reason,
  );
});

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield chunk;
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(256 * 1024);
}

async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of from) all.push(each);
  return all;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    // A foreign transport wraps the reason as it likes; only the signal says why.
    signal.addEventListener('abort', () => reject(new Error('socket hang up')));
  });
}
