import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { TestCredential } from '@countersign/testkit';
import grpc from '@grpc/grpc-js';
import {
  alice,
  credentialOf,
  mallory,
  root,
  startUpstream,
  startWorld,
} from './gateway-world.suite.ts';

const asIs = (bytes: Buffer) => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  ...{ path: `/test.Calls/${name}`, requestStream, responseStream },
  ...{ requestSerialize: asIs, requestDeserialize: asIs },
  ...{ responseSerialize: asIs, responseDeserialize: asIs },
});
const calls = {
  unary: method('Unary', false, false),
  gather: method('Gather', true, false),
  count: method('Count', false, true),
  echo: method('Echo', true, true),
  sleep: method('Sleep', false, false),
  fail: method('Fail', false, false),
};

let cancelled = 0;

const handlers: grpc.UntypedServiceImplementation = {
  unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
    const trailers = new grpc.Metadata();
    trailers.set('x-after', 'said last');
    trailers.set('x-who', String(call.metadata.get('x-forwarded-client-cert')[0]));
    done(null, call.request, trailers);
  },
  gather(call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
    const parts: Buffer[] = [];
    call.on('data', (part) => parts.push(part));
    call.on('end', () => done(null, Buffer.concat(parts)));
  },
  count(call: grpc.ServerWritableStream<Buffer, Buffer>) {
    for (let i = 0; i < Number(call.request); i += 1) call.write(Buffer.from(String(i)));
    call.end();
  },
  echo(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
    call.on('data', (part) => call.write(part));
    call.on('end', () => call.end());
    call.on('cancelled', () => {
      cancelled += 1;
    });
  },
  sleep() {},
  fail(_call: unknown, done: grpc.sendUnaryData<Buffer>) {
    const metadata = new grpc.Metadata();
    metadata.set('x-detail', 'more');
    done({ code: grpc.status.FAILED_PRECONDITION, details: 'not now', metadata });
  },
};

test('calls of every shape go through, with their metadata, trailers and failures', async (t) => {
  const client = await worldOf(t, ', protocol: auto');
  const sent = await client.unary('hello');
  assert.equal(String(sent.value), 'hello');
  assert.deepEqual(sent.trailers?.get('x-after'), ['said last']);
  assert.match(String(sent.trailers?.get('x-who')[0]), /URI=spiffe:\/\/example\.test\/alice/);

  const gathered = client.stream<grpc.ClientWritableStream<Buffer>>('gather');
  for (const part of ['a', 'b', 'x'.repeat(200_000)]) gathered.call.write(Buffer.from(part));
  gathered.call.end();
  assert.equal((await gathered.answer).byteLength, 200_002);

  const counted = client.raw.makeServerStreamRequest(...pathAndCodec('count'), Buffer.from('1000'));
  let seen = 0;
  for await (const _part of counted) seen += 1;
  assert.equal(seen, 1000);

  const echo = client.bidi();
  for (const text of ['one', 'two']) {
    echo.write(Buffer.from(text));
    assert.equal(String((await once(echo, 'data'))[0]), text, 'before the client is done');
  }
  echo.end();
  echo.resume();
  assert.equal(((await once(echo, 'status')) as [grpc.StatusObject])[0].code, grpc.status.OK);

  const failure = await client.failing('fail');
  assert.deepEqual([failure.code, failure.details], [grpc.status.FAILED_PRECONDITION, 'not now']);
  assert.deepEqual(failure.metadata.get('x-detail'), ['more']);
});

test('HTTP/2 is spoken to gRPC upstreams where the route says nothing', async (t) => {
  const client = await worldOf(t, '');
  assert.equal(String((await client.unary('hello')).value), 'hello');
});

test('a deadline ends a call whose upstream does not look at it, and a cancelled call ends there too', async (t) => {
  const client = await worldOf(t, '');
  const late = await client.failing('sleep', { deadline: Date.now() + 200 });
  assert.equal(late.code, grpc.status.DEADLINE_EXCEEDED);
  const before = cancelled;
  const echo = client.bidi();
  echo.on('error', () => {});
  echo.write(Buffer.from('one'));
  await once(echo, 'data');
  echo.cancel();
  const end = performance.now() + 30_000;
  while (cancelled === before && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(cancelled, before + 1);
});

test('what the gateway refuses is said in gRPC’s own words, with the code and the id', async (t) => {
  const { gateway, url } = await gatewayOf(t, '');
  const denied = await clientOf(t, gateway.url, mallory).failing('unary');
  assert.equal(denied.code, grpc.status.PERMISSION_DENIED);
  assert.match(denied.details, /^ERR_AUTHZ_NO_RULE, id [0-9a-f]{16}$/);
  const h1 = await startUpstream(t, () => assert.fail('nothing gets here'));
  for (const [upstream, protocol, code] of [
    ['https://127.0.0.1:1', 'h2', grpc.status.UNAVAILABLE],
    [h1.url, 'h1', grpc.status.UNAVAILABLE],
    [h1.url, 'h2', grpc.status.UNAVAILABLE],
    [url, 'h2', undefined],
  ] as const) {
    const world = await startWorld(t, upstream, { upstreamYaml: `, protocol: ${protocol}` });
    const client = clientOf(t, world.gateway.url, alice);
    if (code === undefined) await client.unary('hello');
    else assert.equal((await client.failing('unary')).code, code, upstream);
  }
});

async function worldOf(t: TestContext, upstreamYaml: string) {
  const { gateway } = await gatewayOf(t, upstreamYaml);
  return clientOf(t, gateway.url, alice);
}

async function gatewayOf(t: TestContext, upstreamYaml: string) {
  const server = new grpc.Server();
  server.addService(calls, handlers);
  const { chainPem, keyPem } = credentialOf('orders');
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(root.rootPem), [pair], true);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (failed, bound) =>
      failed === null ? resolve(bound) : reject(failed),
    );
  });
  t.after(() => server.forceShutdown());
  const url = `https://127.0.0.1:${port}`;
  return { url, ...(await startWorld(t, url, { upstreamYaml })) };
}

type Name = keyof typeof calls;

function pathAndCodec(name: Name): [string, (value: Buffer) => Buffer, (value: Buffer) => Buffer] {
  return [calls[name].path, asIs, asIs];
}

function clientOf(t: TestContext, url: string, who: TestCredential) {
  const credentials = grpc.credentials.createSsl(
    ...[Buffer.from(root.rootPem), Buffer.from(who.keyPem), Buffer.from(who.chainPem)],
    { checkServerIdentity: () => undefined },
  );
  const raw = new grpc.Client(`localhost:${new URL(url).port}`, credentials);
  t.after(() => raw.close());
  return {
    raw,
    unary(text: string) {
      return new Promise<{ value: Buffer | undefined; trailers?: grpc.Metadata }>(
        (resolve, reject) => {
          let value: Buffer | undefined;
          const call = raw.makeUnaryRequest(
            ...pathAndCodec('unary'),
            Buffer.from(text),
            (failed, got) => {
              if (failed !== null) reject(failed);
              value = got;
            },
          );
          call.on('status', ({ metadata }) => setImmediate(resolve, { value, trailers: metadata }));
        },
      );
    },
    failing(name: Name, options: grpc.CallOptions = {}) {
      return new Promise<grpc.ServiceError>((resolve, reject) => {
        raw.makeUnaryRequest(
          ...pathAndCodec(name),
          Buffer.from('x'),
          new grpc.Metadata(),
          options,
          (failed) => {
            if (failed === null) reject(new Error('it did not fail'));
            else resolve(failed);
          },
        );
      });
    },
    stream<Call>(name: Name) {
      let call: unknown;
      const answer = new Promise<Buffer>((resolve, reject) => {
        call = raw.makeClientStreamRequest(...pathAndCodec(name), (failed, value) => {
          if (failed !== null) reject(failed);
          else resolve(value ?? Buffer.alloc(0));
        });
      });
      return { call: call as Call, answer };
    },
    bidi: () => raw.makeBidiStreamRequest(...pathAndCodec('echo')),
  };
}
