import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { defaultMesh, parseIstioPolicies, tokenRulesOf } from '@countersign/authz';
import { noLog, systemClock } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import {
  alice,
  clientOf,
  echo,
  rulesOf,
  startUpstream,
  startWorld,
} from '../gateway-world.suite.ts';
import { TokenDesk } from './token-desk.ts';

const [one, two] = [keyPair('one'), keyPair('two')];
const issuers = ['https://a.example', 'https://b.example'] as const;

test('a request without a token passes, one with a valid token has its principal, any other is 401', async (t) => {
  const allow = `
    - from: [{ source: { requestPrincipals: ["https://a.example/ci"] } }]
    - to: [{ operation: { paths: [/open] } }]
    - when: [{ key: "request.auth.claims[realm][roles]", values: [admin] }]`;
  const { ask } = await world(t, `- { issuer: ${issuers[0]}, jwks: '${setOf(one)}' }`, allow);
  const asked = async (path: string, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const { status, headers: answered } = await ask(path, { headers });
    return [status, answered['www-authenticate']];
  };
  const ci = { iss: issuers[0], sub: 'ci', exp: inSeconds(60) };
  assert.deepEqual(await asked('/open'), [200, undefined]);
  assert.deepEqual(await asked('/x'), [403, undefined]);
  assert.deepEqual(await asked('/x', token(one, ci)), [200, undefined]);
  assert.deepEqual(await asked('/x', token(one, { ...ci, sub: 'other' })), [403, undefined]);
  const admin = { ...ci, sub: 'other', realm: { roles: ['reader', 'admin'] } };
  assert.deepEqual(await asked('/x', token(one, admin)), [200, undefined]);
  const { exp: _, ...endless } = ci;
  assert.deepEqual(await asked('/x', token(one, endless)), [200, undefined]);
  const wrong = [401, 'Bearer error="invalid_token"'];
  for (const bad of [
    token(two, ci),
    token(one, { ...ci, exp: inSeconds(-120) }),
    token(one, { ...ci, nbf: inSeconds(120) }),
    token(one, { ...ci, iss: issuers[1] }),
    token(one, ci, { alg: 'none' }),
    'a.b',
  ]) {
    assert.deepEqual(await asked('/open', bad), wrong);
  }
  // Of another scheme it is no token.
  const basic = await ask('/open', { headers: { authorization: 'Basic YTpi' } });
  assert.equal(basic.status, 200);
  const twice = { authorization: [`Bearer ${token(one, ci)}`, 'Bearer x'] as unknown as string };
  assert.equal((await ask('/open', { headers: twice })).status, 401);
  const bad = { authorization: 'Bearer a.b' };
  const asks = { origin: 'https://x.example', 'access-control-request-method': 'GET' };
  assert.equal((await ask('/open', { method: 'OPTIONS', headers: bad })).status, 401);
  assert.equal(
    (await ask('/open', { method: 'OPTIONS', headers: { ...bad, ...asks } })).status,
    200,
  );
});

test('tokens of headers, parameters and cookies are found, taken out, and told as a rule says', async (t) => {
  const rule = `
    - issuer: ${issuers[0]}
      jwks: '${setOf(one)}'
      audiences: [orders.example/]
      fromHeaders: [{ name: X-Token, prefix: "T " }]
      fromParams: [t]
      fromCookies: [session]
      outputPayloadToHeader: x-payload
      outputClaimToHeaders:
        - { header: x-sub, claim: sub }
        - { header: x-team, claim: org.team }
        - { header: x-level, claim: level }
        - { header: x-list, claim: list }
        - { header: x-odd, claim: odd }`;
  const { ask } = await world(t, rule);
  const claims = {
    ...{ iss: issuers[0], aud: 'https://orders.example', sub: 'ci', level: 3, list: ['a'] },
    ...{ org: { team: 'blue' }, odd: 'a\r\nx-evil: 1' },
  };
  const good = token(one, claims);
  const seen = async (path: string, headers: Record<string, string> = {}) => {
    const { status, body } = await ask(path, { headers });
    return status === 200
      ? (JSON.parse(body) as { url: string; headers: Record<string, string> })
      : status;
  };
  for (const [path, headers, url] of [
    ['/x?a=1', { 'x-token': `T ${good}` }, '/x?a=1'],
    [`/x?a=1&t=${good}&b=%20`, {}, '/x?a=1&b=%20'],
    [`/x?t=${good}`, {}, '/x'],
    ['/x', { cookie: `a=1; session=${good}; b=2` }, '/x'],
  ] as const) {
    const told = await seen(path, {
      ...headers,
      'x-sub': 'root',
      X_Team: 'red',
      authorization: 'Bearer y',
      connection: 'keep-alive, X-Sub, x-payload',
    });
    assert.ok(typeof told === 'object');
    const { headers: h } = told;
    assert.deepEqual(
      [told.url, h['x-sub'], h['x-team'], h.x_team, h['x-level'], h['x-odd'], h['x-token']],
      [url, 'ci', 'blue', undefined, '3', undefined, undefined],
    );
    assert.equal(Buffer.from(h['x-list'] ?? '', 'base64').toString(), '["a"]');
    assert.equal(h['x-payload'], good.split('.')[1]);
    assert.equal(h.cookie, 'cookie' in headers ? 'a=1; b=2' : undefined);
    // No place of this rule.
    assert.equal(h.authorization, 'Bearer y');
  }
  const without = await seen('/x', { 'x-sub': 'root', 'x-payload': 'forged' });
  assert.ok(typeof without === 'object');
  assert.deepEqual(
    [without.headers['x-sub'], without.headers['x-payload']],
    [undefined, undefined],
  );
  const other = token(one, { ...claims, aud: ['them'] });
  assert.equal(await seen(`/x?t=${other}`), 403);
  assert.equal(await seen(`/x?t=${good}&t=${good}`), 401);
});

test('of several rules that of the issuer counts, and a token is passed on where that is said', async (t) => {
  const rules = `
    - { issuer: ${issuers[1]}, jwks: '${setOf(two)}', forwardOriginalToken: true }
    - { issuer: ${issuers[0]}, jwks: '${setOf(one)}' }`;
  const { ask } = await world(t, rules);
  const passedOn = async (bearer: string) => {
    const { status, body } = await ask('/x', { headers: { authorization: `Bearer ${bearer}` } });
    return status === 200 ? JSON.parse(body).headers.authorization !== undefined : status;
  };
  assert.equal(await passedOn(token(one, { iss: issuers[0], sub: 'x' })), false);
  assert.equal(await passedOn(token(two, { iss: issuers[1], sub: 'x' })), true);
  assert.equal(await passedOn(token(two, { iss: issuers[0], sub: 'x' })), 401);
  assert.equal(await passedOn(token(one, { iss: 'https://c.example', sub: 'x' })), 401);
});

test('keys of an address are fetched once, again where a token names another, and go on where they cannot be had', async (t) => {
  let keys = [one];
  let state: 'up' | 'down' | 'too large' = 'down';
  let asked = 0;
  const issuer = createServer((_, response) => {
    asked += 1;
    if (state === 'down') return void response.writeHead(503).end();
    if (state === 'too large') return void response.end(`{"keys":[],"x":"${'a'.repeat(600_000)}"}`);
    response.end(setOf(...keys));
  });
  issuer.listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  t.after(() => issuer.close());
  const uri = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/keys`;
  const clock = testClock();
  const [rule] = tokenRulesOfText(`- { issuer: ${issuers[0]}, jwksUri: "${uri}" }`);
  assert.ok(rule);
  const desk = new TokenDesk([rule], { clock, log: noLog });
  t.after(() => desk.destroy());
  const statusOf = async (pair: typeof one) => {
    const bearer = token(pair, { iss: issuers[0], sub: 'x' });
    const rawHeaders = ['Authorization', `Bearer ${bearer}`];
    const judged = await desk.judge({ method: 'GET', rawHeaders, query: '' });
    return judged.ok ? 200 : judged.code;
  };
  // Never had: refused, and not asked for with every token.
  assert.deepEqual([await statusOf(one), await statusOf(one)], ['ERR_JWT_KEYS', 'ERR_JWT_KEYS']);
  assert.ok(asked <= 2);
  state = 'up';
  await clock.advance(10_000);
  assert.equal(await statusOf(one), 200);
  const before = asked;
  assert.deepEqual([await statusOf(one), await statusOf(one)], [200, 200]);
  assert.equal(asked, before);
  // The issuer changes keys: soon after, but not with every token.
  keys = [one, two];
  assert.equal(await statusOf(two), 'ERR_JWT_KEY');
  await clock.advance(10_000);
  assert.equal(await statusOf(two), 200);
  // Gone: the old ones go on.
  state = 'too large';
  await clock.advance(60 * 60_000);
  assert.deepEqual([await statusOf(one), await statusOf(two)], [200, 200]);
  await clock.advance(24 * 3_600_000);
  assert.equal(await statusOf(one), 'ERR_JWT_KEYS');
});

test('claims are told in no header that is the gateway’s own, and keys that verify nothing are refused', async (t) => {
  const start = (rule: string) => world(t, rule);
  const told = (name: string) =>
    `- { issuer: a, jwks: '${setOf(one)}', outputClaimToHeaders: [{ header: ${name}, claim: sub }] }`;
  for (const name of ['X_Forwarded_Client_Cert', 'client-cert', 'host', 'content-length', 'te']) {
    await assert.rejects(start(told(name)), { code: 'ERR_GATEWAY_TOKEN_HEADER' });
  }
  const symmetric = `- { issuer: a, jwks: '{"keys":[{"kty":"oct","k":"AAAA"}]}' }`;
  await assert.rejects(start(symmetric), { code: 'ERR_JWT_KEYS' });
});

async function world(t: TestContext, jwtRules: string, rules = '- {}') {
  const { url } = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, url, {
    rules: rulesOf(
      `${headOf('AuthorizationPolicy')}spec:\n  rules:\n${rules.replace(/^-/, '    -')}\n`,
    ),
    tokenRules: tokenRulesOfText(jwtRules),
  });
  return clientOf(t, gateway.url, alice);
}

function tokenRulesOfText(jwtRules: string) {
  const list = jwtRules.replace(/^\n?/, '\n').replace(/\n-/, '\n    -');
  const text = `${headOf('RequestAuthentication')}spec:\n  jwtRules:\n${list}\n`;
  const { tokens } = parseIstioPolicies(text, 'tokens.yaml');
  return tokenRulesOf(tokens, { mesh: defaultMesh });
}

function headOf(kind: string): string {
  return `apiVersion: security.istio.io/v1\nkind: ${kind}\nmetadata: { name: a, namespace: prod }\n`;
}

function keyPair(kid: string) {
  return { kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
}

function setOf(...pairs: readonly { kid: string; publicKey: KeyObject }[]): string {
  const keys = pairs.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid }));
  return JSON.stringify({ keys });
}

function token(pair: typeof one, claims: object, { alg = 'ES256' } = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg, kid: pair.kid })}.${part(claims)}`;
  const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
}

function inSeconds(seconds: number): number {
  return Math.floor(systemClock.now() / 1000) + seconds;
}
