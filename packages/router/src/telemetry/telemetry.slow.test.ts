import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRouterConfig } from '../config/router-config.ts';
import { type ShopService, serveShop, shopSet } from '../grpc/shop-service.suite.ts';
import { collectingMeter, routerWorld, type World } from '../router-world.suite.ts';
import { shop } from '../shop.suite.ts';
import { type OtlpReceiver, otlpReceiver, type ReceivedSpan } from './otlp-receiver.suite.ts';

const incoming = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const query =
  'query Mine($secret: String) { me { name reviews { of { title } } } absent(x: $secret) @skip(if: true) }';

interface Watched {
  readonly world: World;
  readonly receiver: OtlpReceiver;
  readonly counted: ReturnType<typeof collectingMeter>;
}

async function watched(
  use: (watched: Watched) => Promise<void>,
  more: { readonly otlp?: string; readonly yaml?: string } = {},
): Promise<void> {
  const receiver = await otlpReceiver();
  const counted = collectingMeter();
  const otlp = `endpoint: "${receiver.url}", interval: 20ms, headers: { x-api-key: k1 }${more.otlp ?? ''}`;
  const world = await routerWorld({
    sources: shop,
    meter: counted.meter,
    yaml: `
listen: { port: 0, client_mtls: optional }
telemetry:
  otlp: { ${otlp} }
  trace_from: ["spiffe://example.org/ns/default/sa/web"]
${more.yaml ?? ''}`,
  });
  try {
    await use({ world, receiver, counted });
  } finally {
    await world.close();
    await receiver.close();
  }
}

// What OpenTelemetry's own exporter would go by, and a router by its configuration alone does not.
process.env.OTEL_EXPORTER_OTLP_HEADERS = 'x-of-environment=1';
process.env.OTEL_EXPORTER_OTLP_COMPRESSION = 'gzip';

const caller = 'spiffe://example.org/ns/default/sa/web';
const router = 'spiffe://example.org/ns/default/sa/router';

test('spans as a receiver decodes them by the official definitions: an operation, each fetch, both ends of both', async () => {
  await watched(async ({ world, receiver }) => {
    const headers = { traceparent: incoming, tracestate: 'vendor=1' };
    await world.ask('query Mine { me { name reviews { of { title } } } }', { as: 'web', headers });
    const requests = [...world.subgraphs.values()].flatMap((each) => each.requests);
    await receiver.until(1 + requests.length);
    const operation = receiver.spans.find(({ kind }) => kind === 'SERVER') as ReceivedSpan;
    assert.equal(operation.name, 'query Mine');
    assert.equal(operation.service, 'countersign-router');
    assert.equal(operation.traceId, '0af7651916cd43dd8448eb211c80319c');
    assert.equal(operation.parentSpanId, 'b7ad6b7169203331');
    assert.equal(operation.attributes['countersign.caller.spiffe_id'], caller);
    assert.match(String(operation.attributes['countersign.caller.serial']), /^[0-9a-f]+$/);
    assert.equal(operation.attributes['countersign.self.spiffe_id'], router);
    const fetches = receiver.spans.filter(({ kind }) => kind === 'CLIENT');
    assert.equal(fetches.length, requests.length);
    const serial = world.identity.svid().chain[0]?.serialHex;
    for (const span of fetches) {
      const name = span.attributes['countersign.subgraph'];
      assert.equal(span.parentSpanId, operation.spanId);
      assert.equal(span.attributes['countersign.self.serial'], serial);
      const expected = `spiffe://example.org/ns/default/sa/${name}`;
      assert.equal(span.attributes['countersign.peer.spiffe_id'], expected);
      const status = world.router.status().subgraphs.find((each) => each.name === name);
      assert.equal(span.attributes['countersign.peer.serial'], status?.peerSerial);
      const told = requests.filter(({ headers: sent }) =>
        String(sent.traceparent).includes(span.spanId),
      );
      assert.equal(told.length, 1, String(name));
      assert.equal(told[0]?.headers.traceparent, `00-${span.traceId}-${span.spanId}-01`);
      assert.equal(told[0]?.headers.tracestate, 'vendor=1');
    }
    const [sent = {}] = receiver.headers;
    assert.equal(sent['x-api-key'], 'k1');
    assert.deepEqual([sent['x-of-environment'], sent['content-encoding']], [undefined, undefined]);
    const line = world.lines.find(({ msg }) => msg === 'operation');
    assert.equal(line?.traceId, operation.traceId);
  });
});

test('a trace of somebody who is not trusted with one begins anew', async () => {
  await watched(async ({ world, receiver }) => {
    for (const as of [undefined, 'stranger']) {
      const headers = { traceparent: incoming };
      await world.ask('{ me { name } }', { headers, ...(as !== undefined && { as }) });
    }
    await receiver.until(4);
    for (const { traceId } of receiver.spans) assert.notEqual(traceId, incoming.slice(3, 35));
    for (const { requests } of world.subgraphs.values()) {
      for (const { headers } of requests) {
        assert.match(String(headers.traceparent), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
        assert.doesNotMatch(String(headers.traceparent), /0af7651916cd43dd/);
      }
    }
  });
});

test('neither variables nor documents nor headers are in a span; failures are, by their reason', async () => {
  await watched(async ({ world, receiver }) => {
    const secret = 'hunter2-secret';
    await world.ask(query, {
      variables: { secret },
      headers: { authorization: `Bearer ${secret}` },
    });
    await world.ask(`{ me { name(${secret}: 1) } }`);
    await receiver.until(2);
    for (const body of receiver.bodies) assert.equal(body.includes(secret), false);
    const refused = receiver.spans.find(({ name }) => name === 'refused');
    assert.equal(refused?.status.code, 2);
    assert.equal(refused?.attributes['error.type'], 'ERR_GRAPHQL_DOCUMENT');
  });
});

test('what is not sampled is not sent, and says so to the subgraphs', async () => {
  await watched(
    async ({ world, receiver }) => {
      await world.ask('{ me { name } }');
      const [request] = [...world.subgraphs.values()].flatMap(({ requests }) => requests);
      assert.match(String(request?.headers.traceparent), /-00$/);
      assert.deepEqual(receiver.spans, []);
    },
    { otlp: ', sample: 0' },
  );
});

for (const how of ['down', 'silent', 'refusing'] as const) {
  test(`a collector that is ${how} costs no operation anything; it is counted, and said once`, async () => {
    await watched(
      async ({ world, receiver, counted }) => {
        if (how === 'down') await receiver.close();
        receiver.answer = how === 'silent' ? 'never' : 400;
        const failed = () => counted.of('countersign_spans_total', { result: 'failed' });
        const signal = AbortSignal.timeout(30_000);
        while (failed() < 4) {
          signal.throwIfAborted();
          assert.equal((await world.ask('{ me { name } }')).errors, undefined);
        }
        const said = world.lines.filter(({ msg }) => msg === 'spans cannot be exported');
        assert.equal(said.length, 1);
        assert.doesNotMatch(JSON.stringify(said), /k1/);
        if (how !== 'refusing') return;
        receiver.answer = 200;
        await world.ask('{ me { name } }');
        await receiver.until(1);
        while (!world.lines.some(({ msg }) => msg === 'spans are exported again')) {
          signal.throwIfAborted();
          await world.ask('{ me { name } }');
        }
      },
      { otlp: ', timeout: 300ms' },
    );
  });
}

test('a gRPC call is told the trace, and a stream has one span with its call', async () => {
  const receiver = await otlpReceiver();
  let service: ShopService | undefined;
  const world = await routerWorld({
    sources: [{ name: 'shop', sdl: '', resolvers: {} }],
    impostors: {
      async shop(ca) {
        service = await serveShop({ ca, name: 'shop' });
        return service;
      },
    },
    entries: { shop: 'grpc: { descriptor_set: shop.pb }' },
    binaries: { 'shop.pb': shopSet },
    yaml: `telemetry: { otlp: { endpoint: "${receiver.url}", interval: 20ms } }`,
  });
  try {
    await world.ask('{ getUser(userId: "x") { userId } }');
    await receiver.until(2);
    const call = receiver.spans.find(({ kind }) => kind === 'CLIENT');
    assert.equal(call?.attributes['countersign.protocol'], 'grpc');
    assert.equal(call?.attributes['error.type'], 'status');
    const told = service?.calls[0]?.metadata.traceparent;
    assert.equal(told, `00-${call?.traceId}-${call?.spanId}-01`);
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: 'subscription S { watchUsers(count: 2) { userId } }' }),
    });
    await response.text();
    await receiver.until(4);
    const stream = receiver.spans.find(({ name }) => name === 'subscription S');
    assert.equal(stream?.attributes['countersign.over'], 'sse');
  } finally {
    await world.close();
    await receiver.close();
  }
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['telemetry: { otlp: { endpoint: "ftp://a" } }', /endpoint/],
  ['telemetry: { otlp: { endpont: "http://a" } }', /unknown key "endpont"/],
  ['telemetry: { otlp: { endpoint: "http://far.example", headers: { k: v } } }', /in the clear/],
  [
    'telemetry: { otlp: { endpoint: "http://127.0.0.1" } }\nheaders: { propagate: [traceparent] }',
    /hands on "traceparent"/,
  ],
];
for (const [text, message] of refused) {
  test(`refused in router.yaml: ${text.split('\n')[0]}`, () => {
    assert.throws(() => parseRouterConfig(`supergraph: s\n${text}`, 'router.yaml', {}), message);
  });
}
