import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { WebSocket } from 'ws';
import { parseRouterConfig } from '../config/router-config.ts';
import { routerWorld, type World } from '../router-world.suite.ts';
import { readKeySet } from './key-set.ts';
import { checkKeySet } from './open-tokens.ts';
import { TokenVerifier } from './token-verifier.ts';

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = JSON.stringify({
  keys: [
    { ...ec.publicKey.export({ format: 'jwk' }), kid: 'ec' },
    { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'rsa', use: 'sig' },
    { kty: 'oct', k: 'c2VjcmV0', kid: 'oct' },
  ],
});
const issuer = 'https://issuer.example';
const audience = 'router';
const now = Math.floor(systemClock.now() / 1000);
const claims = { iss: issuer, aud: audience, sub: 'ada', exp: now + 600, scope: 'read:mail write' };

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function token(
  payload: object,
  header: object = { alg: 'ES256', kid: 'ec' },
  key: KeyObject = ec.privateKey,
): string {
  const signed = `${encode(header)}.${encode(payload)}`;
  const options = key.asymmetricKeyType === 'ec' ? { dsaEncoding: 'ieee-p1363' as const } : {};
  const octets = sign('sha256', Buffer.from(signed), { key, ...options });
  return `Bearer ${signed}.${octets.toString('base64url')}`;
}

test('keys of kinds that are not known, that are none, or that are too weak are passed over', () => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const strange = [
    { kty: 'AKP', alg: 'ML-DSA-44', kid: 'new', pub: 'AAAA' },
    { kty: 'RSA', n: 'AQ', kid: 'broken' },
    { ...weak.publicKey.export({ format: 'jwk' }), kid: 'weak' },
    { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'other', alg: 'RSA-OAEP' },
    { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'encrypts', use: 'enc' },
    null,
  ];
  const { keys } = JSON.parse(jwks) as { readonly keys: readonly object[] };
  const read = readKeySet(JSON.stringify({ keys: [...strange, ...keys] }));
  assert.deepEqual(
    read.map(({ kid }) => kid),
    ['ec', 'rsa'],
  );
  assert.throws(() => readKeySet(JSON.stringify({ keys: strange })), /no key that signs/);
  assert.throws(() => readKeySet('{}'), { code: 'ERR_ROUTER_JWKS' });
});

test('a token of the issuer, for us and now, gives its claims; every other is refused', async () => {
  const verifier = new TokenVerifier({
    keys: { keys: () => readKeySet(jwks) },
    issuer,
    audience,
    clock: systemClock,
  });
  const read = await verifier.verify(token(claims));
  assert.deepEqual(read.ok && [read.claims.subject, [...read.claims.scopes]], [
    'ada',
    ['read:mail', 'write'],
  ]);
  assert.equal(
    (await verifier.verify(token(claims, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey))).ok,
    true,
  );
  const [, unsigned = ''] = token(claims).split(' ');
  const [, payload = ''] = unsigned.split('.');
  const confused = `${encode({ alg: 'HS256', kid: 'ec' })}.${payload}`;
  const mac = createHmac('sha256', ec.publicKey.export({ format: 'pem', type: 'spki' })).update(
    confused,
  );
  const refused = [
    token(claims, undefined, other.privateKey),
    token({ ...claims, iss: 'https://else.example' }),
    token({ ...claims, aud: ['else'] }),
    token({ ...claims, exp: now - 60 }),
    token({ ...claims, exp: undefined }),
    token({ ...claims, nbf: now + 600 }),
    token({ ...claims, sub: '' }),
    token(claims, { alg: 'ES256', kid: 'rsa' }),
    token(claims, { alg: 'ES256', kid: 'ec', crit: ['x'] }),
    `Bearer ${confused}.${mac.digest('base64url')}`,
    `Bearer ${encode({ alg: 'none' })}.${payload}.`,
    'Basic eDp5',
    'Bearer x',
  ];
  for (const each of refused) {
    const verdict = await verifier.verify(each);
    assert.equal(verdict.ok ? 'ok' : verdict.code, 'ERR_GRAPHQL_TOKEN', each);
  }
});

let world: World;
/** How far the router's clock is ahead of ours. */
let laterMs = 0;
before(async () => {
  world = await routerWorld({
    clock: { ...systemClock, now: () => systemClock.now() + laterMs },
    sources: [
      {
        name: 'mail',
        sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@authenticated", "@requiresScopes"])
type Query { mine: String @authenticated box: String @requiresScopes(scopes: [["read:mail", "write"], ["admin"]]) open: Int }
type Subscription { post: String @authenticated }`,
        resolvers: {
          Query: { mine: () => 'm', box: () => 'b', open: () => 1 },
          Subscription: {
            async *post() {
              for (;;) {
                yield { post: 'p' };
                await systemClock.sleep(20);
              }
            },
          },
        },
      },
    ],
    yaml: `jwt: { jwks: keys.json, issuer: "${issuer}", audience: ${audience} }`,
    files: { 'keys.json': jwks },
  });
});
after(() => world.close());

test('claims of a token open fields to it, for whom no certificate speaks', async () => {
  const ask = (authorization?: string) =>
    world.ask('{ mine box open }', {
      headers: authorization === undefined ? {} : { authorization },
    });
  assert.deepEqual((await ask()).data, { mine: null, box: null, open: 1 });
  assert.deepEqual((await ask(token(claims))).data, { mine: 'm', box: 'b', open: 1 });
  const narrow = await ask(token({ ...claims, scope: 'read:mail' }));
  assert.deepEqual(narrow.data, { mine: 'm', box: null, open: 1 });
  assert.equal((await ask(token({ ...claims, scope: 'admin' }))).data?.box, 'b');
  const forged = await ask(token(claims, undefined, other.privateKey));
  assert.equal(forged.status, 401);
  assert.equal(forged.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_TOKEN');
});

/** Frames of a conversation that begins with these messages, and the code that it is closed with. */
function converse(messages: readonly object[], authorization?: string) {
  const ws = new WebSocket(
    `${world.router.url.replace('http', 'ws')}/graphql`,
    'graphql-transport-ws',
    {
      headers: authorization === undefined ? {} : { authorization },
    },
  );
  const frames: { type: string; payload?: unknown }[] = [];
  ws.on('open', () => {
    for (const each of messages) ws.send(JSON.stringify(each));
  });
  ws.on('message', (raw) => frames.push(JSON.parse(String(raw))));
  const closed = once(ws, 'close').then(([code]) => Number(code));
  return { ws, frames, closed };
}

const ended = [{ message: 'the token has ended', extensions: { code: 'ERR_GRAPHQL_TOKEN' } }];
const post = { query: 'subscription { post }' };

test('a stream ends with the token that opened it, and nothing is begun with it any more', async () => {
  laterMs = 0;
  const body = { method: 'POST', body: JSON.stringify(post) };
  const response = await fetch(`${world.router.url}/graphql`, {
    ...body,
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: token(claims),
    },
  });
  const socket = converse([{ type: 'connection_init' }], token(claims));
  const init = once(socket.ws, 'message');
  await init;
  const { ws, frames } = socket;
  ws.send(JSON.stringify({ type: 'subscribe', id: 'a', payload: post }));
  await once(ws, 'message');
  assert.deepEqual(frames[1], { id: 'a', type: 'next', payload: { data: { post: 'p' } } });
  laterMs = 640_000;
  ws.send(JSON.stringify({ type: 'subscribe', id: 'b', payload: post }));
  assert.equal(await socket.closed, 4403);
  assert.ok(frames.every(({ type }) => type !== 'complete'));
  const text = await response.text();
  const events = text.split('\n\n').filter((each) => each.startsWith('event: next'));
  assert.match(events[0] ?? '', /"post":"p"/);
  assert.match(events.at(-1) ?? '', new RegExp(JSON.stringify(ended).replace(/[[{]/g, '\\$&')));
  assert.match(text, /event: complete\ndata:\n\n$/);
  laterMs = 0;
});

test('a key set that verifies nothing is told by a check, with its path', async () => {
  const yaml = 'supergraph: x\njwt: { jwks: keys.json, issuer: i, audience: a }';
  const config = parseRouterConfig(yaml, 'router.yaml', {});
  const check = (text: string) => checkKeySet(config, { readText: async () => text });
  assert.deepEqual(await check(jwks), []);
  for (const bad of ['{"keys":[]}', 'junk', '{}']) {
    await assert.rejects(check(bad), { code: 'ERR_ROUTER_JWKS', message: /"keys.json"/ });
  }
});

test('a token of connection_init is taken in place of the one of the upgrade, and a bad one is not let by', async () => {
  const ask = { type: 'subscribe', id: 'a', payload: { query: '{ mine box }' } };
  const narrow = token({ ...claims, scope: 'read:mail' });
  const wide = token(claims);
  const places = [
    { authorization: wide },
    { Authorization: wide },
    { headers: { AUTHORIZATION: wide } },
  ];
  for (const payload of places) {
    const { ws, frames } = converse([{ type: 'connection_init', payload }], narrow);
    await once(ws, 'message');
    ws.send(JSON.stringify(ask));
    await once(ws, 'message');
    ws.close();
    assert.deepEqual(frames[1]?.payload, { data: { mine: 'm', box: 'b' } });
  }
  for (const bad of [token(claims, undefined, other.privateKey), null, 7]) {
    const payload = { Authorization: bad };
    const { closed, frames } = converse([{ type: 'connection_init', payload }], wide);
    assert.equal(await closed, 4403);
    assert.deepEqual(frames, []);
  }
});
