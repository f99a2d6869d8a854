import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  makeBundle,
  type RevocationStatus,
  staticBundles,
  type VerifiedPeer,
  verifyPeer,
} from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { type AuthzQuestion, allowUnknownRevocation, authorize, Permit } from './authorize.ts';
import { explain, formatExplanation } from './explain.ts';
import { parseAuthorizationPolicies } from './policy/authorization-policy.ts';
import { defaultMesh } from './policy/mesh-settings.ts';
import { compileRules, type RuleOptions, type RuleSet, ruleSetOf } from './rules/rule-set.ts';

const now = Date.UTC(2026, 0, 1);
const ca = testCa({ at: now });
const bundles = staticBundles(makeBundle('example.com', [ca.root]));
const web = peer('spiffe://example.com/ns/prod/sa/web');
const batch = peer('spiffe://example.com/ns/prod/sa/batch');
const anonymous = { kind: 'anonymous' } as const;

function peer(id: string): VerifiedPeer {
  return verified(ca.svid(id).chain);
}

function verified(chain: Parameters<typeof verifyPeer>[0]['chain'], profile?: 'any'): VerifiedPeer {
  const result = verifyPeer({
    chain,
    bundles,
    at: now,
    purpose: 'client',
    ...(profile && { profile }),
  });
  assert.ok(result.ok, JSON.stringify(result));
  return result.peer;
}

function question(changes: Partial<AuthzQuestion> = {}): AuthzQuestion {
  return {
    peer: web,
    revocation: { status: 'good' },
    at: now,
    unknownRevocation: 'refuse',
    ...changes,
  };
}

/** `GET /path` as a question. */
function asking(method: string, path: string, changes: Partial<AuthzQuestion> = {}): AuthzQuestion {
  return question({ request: { method, path }, ...changes });
}

function rulesOf(...policies: readonly (readonly [name: string, spec: string])[]): RuleSet {
  return compiled(policies);
}

function compiled(
  policies: readonly (readonly [name: string, spec: string])[],
  options?: RuleOptions,
): RuleSet {
  const documents = policies.map(
    ([name, spec]) =>
      `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: prod }\nspec: ${spec}\n`,
  );
  return compileRules(parseAuthorizationPolicies(documents.join('---\n'), 'policy.yaml'), options);
}

function answer(rules: RuleSet, asked: AuthzQuestion): string {
  const result = authorize(rules, asked);
  return result.ok ? 'permit' : result.code;
}

test('with no policy everybody may whom the handshake let in', () => {
  const rules = ruleSetOf();
  const permit = authorize(rules, asking('GET', '/'));
  assert.ok(permit.ok && permit.policy === undefined && permit.scope === 'request');
  assert.equal(permit.peer, web);
  assert.equal(answer(rules, question({ peer: anonymous })), 'permit');
  const denies = rulesOf([
    'd',
    '{ action: DENY, rules: [{ to: [{ operation: { methods: [PUT] } }] }] }',
  ]);
  assert.equal(answer(denies, asking('GET', '/')), 'permit');
  assert.equal(answer(denies, asking('PUT', '/', { peer: anonymous })), 'ERR_AUTHZ_DENIED');
});

test('an empty spec allows nothing, an empty rule allows everybody, even without a name', () => {
  const nothing = rulesOf(['none', '{}']);
  const result = authorize(nothing, asking('GET', '/'));
  assert.ok(!result.ok && result.code === 'ERR_AUTHZ_NO_RULE');
  assert.match(result.detail, /policy prod\/none allows nothing/);
  const all = rulesOf(['all', '{ rules: [{}] }']);
  assert.equal(answer(all, asking('GET', '/')), 'permit');
  assert.equal(answer(all, asking('GET', '/', { peer: anonymous })), 'permit');
});

test('the order is: expired, revoked, unknown, path, DENY, ALLOW', () => {
  const rules = rulesOf(['d', '{ action: DENY, rules: [{}] }'], ['a', '{ rules: [{}] }']);
  const revoked: RevocationStatus = {
    status: 'revoked',
    reason: 'keyCompromise',
    by: 'spiffe-id',
    position: 9,
    at: now - 5000,
  };
  const unknown: RevocationStatus = { status: 'unknown', detail: 'the feed is silent for 2h' };
  const late = now + 2 * 86_400_000;
  const bad = { method: 'GET', path: '/a#b' };
  const ask = (changes: Partial<AuthzQuestion>) => answer(rules, question(changes));
  assert.equal(ask({ at: late, revocation: revoked, request: bad }), 'ERR_PEER_EXPIRED');
  assert.equal(ask({ revocation: revoked, request: bad }), 'ERR_PEER_REVOKED');
  assert.equal(ask({ revocation: unknown, request: bad }), 'ERR_REVOCATION_UNKNOWN');
  assert.equal(ask({ request: bad }), 'ERR_AUTHZ_PATH');
  assert.equal(ask({ request: { method: 'GET', path: '/a' } }), 'ERR_AUTHZ_DENIED');
  const result = authorize(rules, question({ revocation: revoked }));
  assert.ok(!result.ok);
  assert.match(result.detail, /web": revoked by spiffe-id at 2025-12-31T23:59:55.000Z for keyComp/);
  assert.equal(result.fields.position, 9);
});

test('a list or a responder that told of a revocation is named, and a refusal of the source is no unknown', () => {
  const toldBy = 'on the list of "CN=services"';
  const { revocation } = question({
    revocation: { status: 'revoked', reason: 'superseded', by: 'serial', at: now, toldBy },
  });
  const revoked = authorize(ruleSetOf(), question({ revocation }));
  assert.ok(!revoked.ok);
  assert.match(revoked.detail, /for superseded, on the list of "CN=services"$/);
  const detail = 'its certificate lasts 720h, at most 24h are let in';
  const refused = authorize(
    ruleSetOf(),
    question({
      revocation: { status: 'refused', code: 'ERR_REVOCATION_LIFETIME', detail },
      unknownRevocation: allowUnknownRevocation,
    }),
  );
  assert.ok(!refused.ok);
  assert.equal(refused.code, 'ERR_REVOCATION_LIFETIME');
  assert.match(refused.detail, /web": its certificate lasts 720h, at most 24h are let in$/);
});

test('a peer of unknown revocation is let in only by the symbol, never by a text', () => {
  const rules = ruleSetOf();
  const revocation: RevocationStatus = { status: 'unknown', detail: 'no feed yet' };
  const ask = (unknownRevocation: unknown) =>
    answer(rules, question({ revocation, unknownRevocation: unknownRevocation as 'refuse' }));
  assert.equal(ask(allowUnknownRevocation), 'permit');
  for (const text of ['allow', undefined, true, Symbol('allow unknown revocation')]) {
    assert.equal(ask(text), 'ERR_REVOCATION_UNKNOWN');
  }
});

test('the last second of a certificate still counts, the next does not', () => {
  const rules = ruleSetOf();
  assert.equal(answer(rules, question({ at: web.notAfter + 999 })), 'permit');
  assert.equal(answer(rules, question({ at: web.notAfter + 1000 })), 'ERR_PEER_EXPIRED');
});

test('principals match exactly, by prefix, by suffix, or as any verified peer', () => {
  const cases: readonly (readonly [principal: string, forWeb: boolean, forBatch: boolean])[] = [
    ['example.com/ns/prod/sa/web', true, false],
    // Istio writes the scheme before whatever a policy says.
    ['spiffe://example.com/ns/prod/sa/web', false, false],
    ['example.com/ns/prod/sa/we', false, false],
    ['example.com/ns/prod/*', true, true],
    ['*/sa/batch', false, true],
    ['*b', true, false],
    ['*', true, true],
    ['other.org/ns/prod/*', false, false],
  ];
  for (const [principal, forWeb, forBatch] of cases) {
    const rules = rulesOf([
      'a',
      `{ rules: [{ from: [{ source: { principals: ["${principal}"] } }] }] }`,
    ]);
    const ask = (of: AuthzQuestion['peer']) => answer(rules, question({ peer: of }));
    assert.equal(ask(web) === 'permit', forWeb, `${principal} for web`);
    assert.equal(ask(batch) === 'permit', forBatch, `${principal} for batch`);
    assert.equal(ask(anonymous), 'ERR_AUTHZ_NO_RULE', `${principal} for nobody`);
  }
});

test('a peer without SPIFFE ID has its DNS names and its subject for principals', () => {
  const named = verified(ca.leaf({ dns: ['client.example'] }).chain, 'any');
  const ask = (principal: string) => {
    const spec = `{ rules: [{ from: [{ source: { principals: ["${principal}"] } }] }] }`;
    return answer(rulesOf(['a', spec]), question({ peer: named }));
  };
  assert.equal(ask('*'), 'permit');
  // Every other pattern is one of SPIFFE IDs.
  assert.equal(ask('client.example'), 'ERR_AUTHZ_NO_RULE');
  assert.equal(ask('*.example'), 'ERR_AUTHZ_NO_RULE');
});

const shopPolicies = [
  [
    'shop',
    `
  rules:
    - from:
        - source: { principals: [example.com/ns/prod/sa/web] }
        - source: { principals: [example.com/ns/prod/sa/batch] }
      to:
        - operation: { methods: [GET, HEAD], paths: ["/orders", "/orders/*"] }
        - operation: { methods: [POST], paths: ["/orders"] }
    - to:
        - operation: { paths: ["/healthz"] }`,
  ],
  ['no-admin', '{ action: DENY, rules: [{ to: [{ operation: { paths: ["/orders/admin*"] } }] }] }'],
] as const;
const shop = compiled(shopPolicies);
const istio = compiled(shopPolicies, { paths: 'as-istio' });
const decoding = compiled(shopPolicies, {
  mesh: { ...defaultMesh, pathNormalization: 'DECODE_AND_MERGE_SLASHES' },
  paths: 'as-istio',
});

test('sources and operations are alternatives, method and path must both match', () => {
  const cases: readonly (readonly [string, string, VerifiedPeer | typeof anonymous, string])[] = [
    ['GET', '/orders/7?page=2', web, 'permit'],
    ['HEAD', '/orders', batch, 'permit'],
    ['POST', '/orders', web, 'permit'],
    ['POST', '/orders/7', web, 'ERR_AUTHZ_NO_RULE'],
    ['DELETE', '/orders', web, 'ERR_AUTHZ_NO_RULE'],
    ['GET', '/orders/', peer('spiffe://example.com/ns/dev/sa/x'), 'ERR_AUTHZ_NO_RULE'],
    ['GET', '/healthz', anonymous, 'permit'],
    ['GET', '/orders', anonymous, 'ERR_AUTHZ_NO_RULE'],
    ['GET', '/orders/admin/1', web, 'ERR_AUTHZ_DENIED'],
    ['get', '/orders', web, 'ERR_AUTHZ_NO_RULE'],
  ];
  for (const [method, path, by, expected] of cases) {
    assert.equal(answer(shop, asking(method, path, { peer: by })), expected, `${method} ${path}`);
  }
});

test('no spelling of a path slips past a DENY', () => {
  const spellings = [
    '/orders/admin',
    '/orders/./admin',
    '/orders/x/../admin',
    '/orders//admin',
    '//orders/admin',
    '/orders%2Fadmin',
    '/orders%2fadmin',
    '/orders\\admin',
    '/orders%5cadmin',
    '/orders/%61dmin',
    '/orders/%61%64min/x',
    '/orders/x/%2e%2e/admin',
    '/orders/x/..%2fadmin',
    '/orders/x%2f..%2fadmin',
    '/orders/x/..;/admin',
    '/orders;a=b/admin',
    '/orders/admin;a=b',
    '/orders%3Ba/admin',
    '/x/..//orders/admin',
    '/healthz/../orders/admin',
    '/orders/admin?x',
    '/orders/admin%00',
    '/orders/admin#x',
  ];
  for (const path of spellings) {
    assert.match(answer(shop, asking('GET', path)), /^ERR_AUTHZ_(DENIED|PATH|NO_RULE)$/, path);
  }
});

test('no spelling of a path slips into an ALLOW', () => {
  const spellings = [
    '/orders/../secret',
    '/orders/..%2fsecret',
    '/orders%2f..%2fsecret',
    '/orders/..;/secret',
    '/orders/%2e%2e/secret',
    '/orders/..\\secret',
    '/orders/..%5csecret',
    '/orders//../../secret',
    '/healthz;/../secret',
    '/healthz%2f..%2fsecret',
  ];
  for (const path of spellings) {
    assert.equal(answer(shop, asking('GET', path)), 'ERR_AUTHZ_NO_RULE', path);
  }
  for (const path of [
    '/orders/a%20b',
    '/orders/a%2Fb',
    '/orders/./7',
    '/orders/7;v=1',
    '/orders//7',
  ]) {
    assert.equal(answer(shop, asking('GET', path)), 'permit', path);
  }
});

test('as Istio judges them, paths are compared as Envoy normalises them, and no further', () => {
  for (const path of ['/orders/x/..;/admin', '/orders/%61dmin', '/orders\\admin']) {
    assert.equal(answer(istio, asking('GET', path)), 'ERR_AUTHZ_DENIED', path);
  }
  for (const path of ['/orders/admin%00', '/orders/admin#x', '*', 'x', '/orders/\u00e9']) {
    assert.equal(answer(istio, asking('GET', path)), 'ERR_AUTHZ_PATH', path);
  }
  for (const path of ['/orders//admin', '/orders/x/..%2fadmin']) {
    assert.equal(answer(istio, asking('GET', path)), 'permit', path);
    assert.equal(answer(decoding, asking('GET', path)), 'ERR_AUTHZ_DENIED', path);
  }
});

test('a connection may be held while some request could be allowed and not every one is denied', () => {
  assert.equal(answer(shop, question()), 'permit');
  assert.equal(answer(shop, question({ peer: anonymous })), 'permit');
  const permit = authorize(shop, question());
  assert.ok(permit.ok && permit.scope === 'connection');
  const named = rulesOf([
    'a',
    '{ rules: [{ from: [{ source: { principals: ["example.com/ns/prod/sa/web"] } }], to: [{ operation: { methods: [GET] } }] }] }',
  ]);
  assert.equal(answer(named, question({ peer: web })), 'permit');
  assert.equal(answer(named, question({ peer: batch })), 'ERR_AUTHZ_NO_RULE');
  const denied = rulesOf(
    ['d', '{ action: DENY, rules: [{ from: [{ source: { principals: ["*/sa/batch"] } }] }] }'],
    ['a', '{ rules: [{}] }'],
  );
  assert.equal(answer(denied, question({ peer: batch })), 'ERR_AUTHZ_DENIED');
  assert.equal(answer(denied, question({ peer: web })), 'permit');
});

test('a denial names the rule that denies, or the closest one and both sides of what differs', () => {
  const denied = authorize(shop, asking('GET', '/orders/admin'));
  assert.ok(!denied.ok);
  assert.equal(
    denied.detail,
    '"spiffe://example.com/ns/prod/sa/web" GET "/orders/admin": denied by policy prod/no-admin rules[0] (policy.yaml:18:31)',
  );
  const none = authorize(shop, asking('DELETE', '/orders'));
  assert.ok(!none.ok);
  assert.match(
    none.detail,
    /closest is policy prod\/shop rules\[0\] \(policy\.yaml:6:7\): operation\.methods is "GET" or "HEAD", found "DELETE"$/,
  );
  const stranger = peer('spiffe://example.com/ns/dev/sa/x');
  const other = authorize(shop, asking('POST', '/orders', { peer: stranger }));
  assert.ok(!other.ok);
  assert.match(
    other.detail,
    /source\.principals is "example\.com\/ns\/prod\/sa\/web", found "example\.com\/ns\/dev\/sa\/x"$/,
  );
  assert.equal(other.fields.policy, 'prod/shop');
});

test('a stranger cannot flood or forge the detail of a denial', () => {
  const flood = asking('GET\n', `/${'x'.repeat(50_000)}\u001b[31m%0a`);
  const result = authorize(shop, flood);
  assert.ok(!result.ok);
  assert.ok(result.detail.length < 2000);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
  assert.doesNotMatch(result.detail, /[\u0000-\u001f]/);
});

test('an explanation says for every rule, clause by clause, why it does or does not apply', () => {
  const explained = explain(shop, asking('DELETE', '/orders/a%2fb'));
  assert.deepEqual(
    explained.rules.map(({ policy, rule, applies }) => [policy, rule, applies]),
    [
      ['prod/no-admin', 0, false],
      ['prod/shop', 0, false],
      ['prod/shop', 1, false],
    ],
  );
  assert.equal(explained.closest?.rule, 0);
  const text = formatExplanation(explained);
  assert.match(text, /^refused, ERR_AUTHZ_NO_RULE: /);
  assert.match(text, /ALLOW policy prod\/shop rules\[0\] \(policy\.yaml:6:7\) does not apply/);
  assert.match(text, /yes source\.principals is .*, found "example\.com\/ns\/prod\/sa\/web"/);
  assert.match(text, /no {2}operation\.methods is "GET" or "HEAD", found "DELETE"/);
  assert.match(text, /yes operation\.paths is .*, found "\/orders\/a%2fb"/);
  const evading = formatExplanation(explain(shop, asking('GET', '/orders/x%2f..%2fadmin')));
  assert.match(
    evading,
    /DENY policy prod\/no-admin rules\[0\] .* applies\n {2}yes .*found "\/orders\/admin"/,
  );
  const permitted = explain(shop, asking('GET', '/orders'));
  assert.match(formatExplanation(permitted), /^permitted by policy prod\/shop rules\[0\]/);
  assert.equal(explain(shop, asking('GET', 'x')).rules.length, 0);
});

test('evidence cannot be imitated: neither the peer that is asked about, nor the permit', () => {
  const fake = { ...web, leaf: web.leaf } as unknown as VerifiedPeer;
  assert.throws(() => authorize(ruleSetOf(), question({ peer: fake })), TypeError);
  const permit = authorize(ruleSetOf(), question());
  assert.ok(permit.ok && Permit.is(permit));
  assert.ok(!Permit.is({ ...permit }));
  const again = permit.constructor as new (...rest: unknown[]) => unknown;
  assert.throws(() => new again(Symbol(), question(), undefined), TypeError);
});

test('two policies of one name are refused, whichever files they come from', () => {
  assert.throws(() => rulesOf(['a', '{}'], ['a', '{ rules: [{}] }']), {
    code: 'ERR_AUTHZ_TWICE',
    message: /"prod\/a", in policy\.yaml and policy\.yaml/,
  });
});
