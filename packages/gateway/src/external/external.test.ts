import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { noLog } from '@countersign/base';
import { protoFiles } from '@countersign/wire';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { parseGatewayConfig } from '../gateway-config.ts';
import {
  alice,
  clientOf,
  echo,
  rulesOf,
  startUpstream,
  startWorld,
} from '../gateway-world.suite.ts';

const custom = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: c, namespace: prod }
spec: { action: CUSTOM, provider: { name: opa }, rules: [{ to: [{ operation: { paths: ["/a*"] } }] }] }
`;
const { root } = protobuf.parse(readFileSync(protoFiles.extAuthz, 'utf8'));
const typeOf = (name: string) => root.lookupType(`envoy.service.auth.v3.${name}`);
const [requestType, responseType] = [typeOf('CheckRequest'), typeOf('CheckResponse')];

interface Asked {
  readonly attributes: {
    readonly source: { readonly principal: string };
    readonly request: {
      readonly http: Record<string, unknown> & { headers: Record<string, string> };
    };
  };
}

test('a gRPC service is asked as Envoy asks it, and what it writes is held to what may be written', async (t) => {
  const asked: Asked[] = [];
  const header = (key: string, value: string, more: object = {}) => ({
    header: { key, value },
    ...more,
  });
  const port = await grpcService(t, (message, answer) => {
    asked.push(message);
    const { path } = message.attributes.request.http;
    if (String(path).startsWith('/a/no')) {
      return answer({
        status: { code: 7 },
        deniedResponse: {
          status: { code: 302 },
          headers: [header('location', 'https://login.example'), header('connection', 'close')],
          body: 'log in',
        },
      });
    }
    answer({
      status: { code: 0 },
      okResponse: {
        headers: [
          header('x-user', 'carol'),
          header('x-team', 'green', { append: { value: true } }),
          ...[
            'x-forwarded-client-cert',
            'x-spiffe-id',
            'host',
            'content-length',
            ':path',
            'te',
          ].map((name) => header(name, 'evil')),
          header('x-odd', 'a\r\nx-evil: 1'),
        ],
        headersToRemove: ['x-secret', 'host'],
        responseHeadersToAdd: [header('x-seen', 'yes'), header('transfer-encoding', 'chunked')],
        queryParametersToSet: [{ key: 'b', value: '2' }],
        queryParametersToRemove: ['token'],
      },
    });
  });
  const { ask } = await world(t, `{ name: opa, protocol: grpc, url: "http://127.0.0.1:${port}" }`);
  const headers = {
    connection: 'keep-alive, x-user',
    'x-team': 'blue',
    'x-secret': '1',
    'x-forwarded-client-cert': 'URI=spiffe://evil',
  };
  const allowed = await ask('/a/yes?token=t&a=1', { headers });
  assert.equal(allowed.status, 200);
  assert.equal(allowed.headers['x-seen'], 'yes');
  const told = JSON.parse(allowed.body) as { url: string; headers: Record<string, string> };
  assert.equal(told.url, '/a/yes?a=1&b=2');
  const { 'x-user': user, 'x-team': team, 'x-secret': secret, 'x-odd': odd } = told.headers;
  assert.deepEqual([user, team, secret, odd], ['carol', 'blue, green', undefined, undefined]);
  assert.equal(told.headers['x-spiffe-id'], undefined);
  assert.match(
    told.headers['x-forwarded-client-cert'] ?? '',
    /URI=spiffe:\/\/example\.test\/alice/,
  );
  const { source, request } = asked[0]?.attributes ?? assert.fail('it was not asked');
  const { method, path, headers: shown } = request.http;
  assert.deepEqual([method, path, shown['x-team']], ['GET', '/a/yes?token=t&a=1', 'blue']);
  assert.equal(source.principal, 'spiffe://example.test/alice');
  assert.doesNotMatch(JSON.stringify(shown), /spiffe:\/\/evil/);
  const refused = await ask('/a/no');
  assert.deepEqual([refused.status, refused.body], [302, 'log in']);
  assert.deepEqual(
    [refused.headers.location, refused.headers['content-length']],
    ['https://login.example', '6'],
  );
  assert.equal((await ask('/x')).status, 200);
  assert.equal(asked.length, 2);
});

test('a body is shown as far as is said, and reaches the upstream whole', async (t) => {
  const bodies: unknown[] = [];
  const port = await grpcService(t, ({ attributes }, answer) => {
    const { body, headers } = attributes.request.http;
    bodies.push([String(body).length, headers['x-envoy-auth-partial-body']]);
    answer({ status: { code: 0 } });
  });
  const sizes: number[] = [];
  const upstream = await startUpstream(t, async (request, response) => {
    let size = 0;
    for await (const chunk of request) size += (chunk as Buffer).byteLength;
    sizes.push(size);
    response.end();
  });
  const of = (partial: boolean) =>
    world(
      t,
      `{ name: opa, protocol: grpc, url: "http://127.0.0.1:${port}",
         includeRequestBodyInCheck: { maxRequestBytes: 1000, allowPartialMessage: ${partial} } }`,
      upstream.url,
    );
  const post = async ({ ask }: Awaited<ReturnType<typeof world>>, size: number) =>
    (await ask('/a', { method: 'POST', body: 'x'.repeat(size) })).status;
  const [whole, part] = [await of(false), await of(true)];
  assert.deepEqual([await post(whole, 1000), await post(whole, 1001)], [200, 413]);
  assert.equal(await post(part, 500_000), 200);
  assert.deepEqual(bodies, [
    [1000, 'false'],
    [1000, 'true'],
  ]);
  assert.deepEqual(sizes, [1000, 500_000]);
});

test('a caller that leaves in the midst of a body that is to be shown is no failure of ours', async (t) => {
  const port = await grpcService(t, (_, answer) => answer({ status: { code: 0 } }));
  const { url } = await startUpstream(t, echo);
  const provider = `{ name: opa, protocol: grpc, url: "http://127.0.0.1:${port}", includeRequestBodyInCheck: { maxRequestBytes: 9 } }`;
  const broken: unknown[] = [];
  const { gateway } = await startWorld(t, url, {
    ...{ rules: rulesOf(custom), yaml: `authorization: { providers: [${provider}] }` },
    log: { ...noLog, error: (...line: unknown[]) => broken.push(line) },
  });
  const client = clientOf(t, gateway.url, alice);
  const sent = client.request('/a', { method: 'POST', headers: { expect: '100-continue' } });
  sent.on('error', () => {});
  sent.flushHeaders();
  await once(sent, 'continue');
  sent.write('x');
  sent.destroy();
  const later = { method: 'POST', body: 'y' };
  for (let n = 0; n < 3; n += 1) assert.equal((await client.ask('/a', later)).status, 200);
  assert.deepEqual(broken, []);
});

test('a service that is silent, fails or answers nonsense refuses, unless the operator chose otherwise', async (t) => {
  const port = await grpcService(t, ({ attributes }, answer) => {
    const { path } = attributes.request.http;
    if (path === '/a/none') answer({});
    else if (path === '/a/fails') answer(new Error('broken'));
  });
  const of = (more: string, at = port) =>
    world(t, `{ name: opa, protocol: grpc, url: "http://127.0.0.1:${at}", timeout: 500ms${more} }`);
  const [usual, status, open] = [
    await of(''),
    await of(', statusOnError: "503"'),
    await of(', failOpen: true'),
  ];
  for (const path of ['/a/none', '/a/fails', '/a/silent']) {
    const all = await Promise.all([usual, status, open].map(({ ask }) => ask(path)));
    assert.deepEqual(
      all.map((each) => each.status),
      [403, 503, 200],
      path,
    );
  }
  // Nobody listens on port 1.
  assert.equal((await (await of('', 1)).ask('/a')).status, 403);
});

test('an HTTP service’s headers reach who is named, a refusal the caller, and a failure nobody', async (t) => {
  const port = await httpService(t, (request, response) => {
    if (request.url?.startsWith('/a/5') === true) return void response.writeHead(500).end('trace');
    const headers = {
      'x-user': 'carol',
      'client-cert': ':AA==:',
      'x-note': 'n',
      location: '/login',
    };
    response.writeHead(request.url === '/a/no' ? 302 : 200, headers).end('see /login');
  });
  const { ask } = await world(
    t,
    `{ name: opa, url: "http://127.0.0.1:${port}", headersToUpstreamOnAllow: ["x-u*", "client-*"],
       headersToDownstreamOnAllow: [x-note], headersToDownstreamOnDeny: [location] }`,
  );
  const allowed = await ask('/a', { headers: { 'x-user': 'root' } });
  const told = JSON.parse(allowed.body).headers;
  assert.deepEqual([told['x-user'], allowed.headers['x-note']], ['carol', 'n']);
  assert.notEqual(told['client-cert'], ':AA==:');
  const refused = await ask('/a/no');
  assert.deepEqual(
    [refused.status, refused.body, refused.headers.location],
    [302, 'see /login', '/login'],
  );
  assert.equal(refused.headers['x-user'], undefined);
  const failed = await ask('/a/5');
  assert.equal(failed.status, 403);
  assert.doesNotMatch(failed.body, /trace/);
});

test('keys that say nothing to a gRPC service are refused by name', () => {
  const of = (more: string) => () =>
    parseGatewayConfig(
      [
        'routes: [{ match: { pathPrefix: / }, upstream: { url: "http://127.0.0.1:1" } }]',
        'authorization:',
        `  providers: [{ name: a, protocol: grpc, url: "http://127.0.0.1:1", ${more} }]`,
      ].join('\n'),
      'gateway.yaml',
    );
  for (const key of ['pathPrefix: /x', 'headersToUpstreamOnAllow: [x-a]']) {
    assert.throws(of(key), { message: new RegExp(`${key.split(':')[0]} is for http`) });
  }
  const identity = of('includeAdditionalHeadersInCheck: { x-spiffe-id: a }');
  assert.throws(identity, { message: /only the handshake does/ });
});

test('providers of a MeshConfig are asked, and refused where they would be in clear text elsewhere', async (t) => {
  const port = await grpcService(t, (_, answer) => answer({ status: { code: 7 } }));
  const { url } = await startUpstream(t, echo);
  const of = (service: string, more = '') =>
    [
      'authorization:\n  mesh:\n    extensionProviders:',
      `- { name: opa, envoyExtAuthzGrpc: { service: ${service}, port: ${port}${more} } }`,
      '- { name: z, zipkin: {} }\n',
    ].join('\n      ');
  const rules = rulesOf(custom);
  const { gateway } = await startWorld(t, url, {
    rules,
    yaml: of('127.0.0.1', ', failOpen: true'),
  });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.deepEqual([(await ask('/a')).status, (await ask('/x')).status], [403, 200]);
  await assert.rejects(startWorld(t, url, { rules, yaml: of('ns/opa.ns.svc') }), {
    message: /service: would be asked in clear text on another machine/,
  });
  await assert.rejects(startWorld(t, url, { rules, yaml: of('localhost', ', pathPrefix: /x') }), {
    message: /unknown key "pathPrefix"/,
  });
});

async function world(t: TestContext, provider: string, upstreamUrl?: string) {
  const url = upstreamUrl ?? (await startUpstream(t, echo)).url;
  const yaml = `authorization:\n  providers:\n    - ${provider}\n`;
  const { gateway } = await startWorld(t, url, { rules: rulesOf(custom), yaml });
  return clientOf(t, gateway.url, alice);
}

async function httpService(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A real gRPC server; what is not answered stays without an answer. */
async function grpcService(
  t: TestContext,
  check: (asked: Asked, answer: (message: object | Error) => void) => void,
): Promise<number> {
  const server = new Server();
  t.after(() => server.forceShutdown());
  const method = {
    ...{ path: '/envoy.service.auth.v3.Authorization/Check', requestStream: false },
    ...{ responseStream: false, requestSerialize: Buffer.from, responseDeserialize: Buffer.from },
    requestDeserialize: (bytes: Buffer) =>
      requestType.toObject(requestType.decode(bytes), { longs: Number, defaults: true }) as Asked,
    responseSerialize: (message: object) =>
      Buffer.from(responseType.encode(responseType.fromObject(message)).finish()),
  };
  server.addService(
    { check: method },
    {
      check(call: ServerUnaryCall<Asked, object>, done: sendUnaryData<object>) {
        check(call.request, (answer) => {
          if (answer instanceof Error) done({ code: 13, details: answer.message });
          else done(null, answer);
        });
      },
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (failed, port) => {
      if (failed) reject(failed);
      else resolve(port);
    });
  });
}
