import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denial } from '@countersign/base';
import { makeBundle, staticBundles, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { type AuthzQuestion, authorize, observe } from '../authorize.ts';
import { parseAuthorizationPolicies } from '../policy/authorization-policy.ts';
import { defaultMesh } from '../policy/mesh-settings.ts';
import { policyText } from '../policy/policy-text.suite.ts';
import { parseRoleMapping } from '../roles/role-mapping.ts';
import { compileRules } from '../rules/rule-set.ts';
import { askExternal, type ExternalAuthorizer, providersFor } from './ask-external.ts';

const ca = testCa({ at: 0 });
const { chain } = ca.svid('spiffe://example.com/ns/prod/sa/web', { dns: ['web.example.com'] });
const verified = verifyPeer({
  ...{ chain, at: 0, purpose: 'client' as const },
  bundles: staticBundles(makeBundle('example.com', [ca.root])),
});
assert.ok(verified.ok);
const { peer } = verified;

function asking(path: string, more: Partial<AuthzQuestion> = {}): AuthzQuestion {
  return {
    ...{ peer, revocation: { status: 'good' }, at: 0, unknownRevocation: 'refuse' },
    request: { method: 'GET', path },
    ...more,
  };
}

function rulesOf(...texts: string[]) {
  return compileRules(parseAuthorizationPolicies(texts.join('---\n'), 'policy.yaml'));
}

const custom = (name: string, provider: string, path: string) =>
  policyText(
    name,
    `{ action: CUSTOM, provider: { name: ${provider} }, rules: [{ to: [{ operation: { paths: [${path}] } }] }] }`,
  );

function answering(answer: boolean | Error): ExternalAuthorizer & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async check({ request }) {
      asked.push(request?.path ?? '');
      if (answer instanceof Error) throw answer;
      return answer ? { ok: true } : denial('ERR_AUTHZ_DENIED', 'not on Sundays', { day: 7 });
    },
  };
}

async function verdict(
  rules: ReturnType<typeof rulesOf>,
  path: string,
  authorizers: Record<string, ExternalAuthorizer>,
) {
  const external = await askExternal(rules, asking(path), new Map(Object.entries(authorizers)));
  return authorize(rules, asking(path, { request: { method: 'GET', path, external } }));
}

test('a provider is asked about what its rules are about, and only its yes gets further', async () => {
  const rules = rulesOf(custom('c', 'opa', '/admin'), policyText('a', '{ rules: [{}] }'));
  const [yes, no] = [answering(true), answering(false)];
  assert.equal((await verdict(rules, '/', { opa: no })).ok, true);
  assert.equal((await verdict(rules, '/admin', { opa: yes })).ok, true);
  assert.deepEqual([yes.asked, no.asked], [['/admin'], []]);
  const refused = await verdict(rules, '/admin', { opa: no });
  assert.ok(!refused.ok);
  assert.equal(refused.code, 'ERR_AUTHZ_DENIED');
  assert.match(
    refused.detail,
    /refused by provider "opa", as policy prod\/c rules\[0\] .* asks: not on Sundays$/,
  );
  assert.equal(refused.fields.day, 7);
});

test('a provider that is not there, fails, or was not asked denies', async () => {
  const rules = rulesOf(custom('c', 'opa', '/admin'));
  for (const authorizers of [{}, { opa: answering(new Error('connection refused')) }]) {
    const refused = await verdict(rules, '/admin', authorizers);
    assert.ok(!refused.ok);
    assert.equal(refused.code, 'ERR_AUTHZ_PROVIDER');
  }
  const unasked = authorize(rules, asking('/admin'));
  assert.ok(!unasked.ok && unasked.code === 'ERR_AUTHZ_PROVIDER');
  assert.equal(authorize(rules, asking('/')).ok, true);
});

test('a connection may be held until its requests are asked about; one without requests is asked about itself', async () => {
  const text = policyText('c', '{ action: CUSTOM, provider: { name: opa }, rules: [{}] }');
  const rules = rulesOf(text);
  const { request: _, ...held } = asking('/');
  assert.equal(authorize(rules, held).ok, true);
  const raw = { ...held, protocol: 'tcp' as const };
  assert.equal(authorize(rules, raw).ok, false);
  const external = await askExternal(rules, raw, new Map([['opa', answering(true)]]));
  assert.equal(authorize(rules, { ...raw, connection: { external } }).ok, true);
});

test('its yes does not get past a DENY, and of several providers each has to say it', async () => {
  const denied = rulesOf(
    custom('c', 'opa', '/admin'),
    policyText('d', '{ action: DENY, rules: [{}] }'),
  );
  const refused = await verdict(denied, '/admin', { opa: answering(true) });
  assert.ok(!refused.ok && refused.code === 'ERR_AUTHZ_DENIED');
  const two = rulesOf(custom('b', 'second', '/admin'), custom('c', 'first', '"/a*"'));
  assert.deepEqual(providersFor(two, asking('/admin')), ['first', 'second']);
  const [yes, no] = [answering(true), answering(false)];
  assert.equal((await verdict(two, '/admin', { first: yes, second: yes })).ok, true);
  assert.equal((await verdict(two, '/admin', { first: yes, second: no })).ok, false);
  assert.equal((await verdict(two, '/api', { first: yes, second: no })).ok, true);
  const late = answering(true);
  assert.equal((await verdict(two, '/admin', { first: no, second: late })).ok, false);
  assert.deepEqual(late.asked, [], 'nobody is asked after the first no');
});

test('audits and dry runs are observed, and change no answer', () => {
  const more = ', annotations: { istio.io/dry-run: "true" }';
  const rules = rulesOf(
    policyText('audit', '{ action: AUDIT, rules: [{ to: [{ operation: { paths: ["/a*"] } }] }] }'),
    policyText('try', '{ action: DENY, rules: [{ to: [{ operation: { paths: ["/admin"] } }] }] }', {
      more,
    }),
    policyText('later', '{ rules: [{ to: [{ operation: { paths: ["/api"] } }] }] }', { more }),
  );
  const seen = (path: string) => {
    assert.equal(authorize(rules, asking(path)).ok, true);
    const observed = observe(rules, asking(path));
    const dryRun = observed?.dryRun;
    const outcome = dryRun?.ok === false ? dryRun.by : dryRun?.rule?.policy;
    return [observed?.audits.map(({ policy }) => policy).join(), outcome];
  };
  assert.deepEqual(seen('/admin'), ['prod/audit', 'deny']);
  assert.deepEqual(seen('/api'), ['prod/audit', 'prod/later']);
  assert.deepEqual(seen('/x'), ['', 'no-rule']);
  assert.equal(observe(rulesOf(policyText('a', '{ rules: [{}] }')), asking('/')), undefined);
});

test('roles, tenant and rate class of an identity are for rules to ask', () => {
  const mapping = parseRoleMapping(
    [
      'headers: { roles: x-roles }',
      'identities:',
      '  - { match: { spiffeIds: ["spiffe://example.com/ns/prod/*"] }, roles: [reader], rateClass: silver }',
      '  - { match: { dnsNames: ["*.example.com"] }, roles: [admin, reader], tenant: acme, rateClass: gold }',
      '  - { match: { dnsNames: ["*.example.com"], subjects: ["CN=x"] }, roles: [nobody] }',
      'otherwise: { roles: [guest] }',
    ].join('\n'),
    'roles.yaml',
  );
  const identity = mapping.of(peer);
  assert.deepEqual(identity, { roles: ['reader', 'admin'], tenant: 'acme', rateClass: 'silver' });
  assert.equal(mapping.of(peer), identity);
  assert.equal(mapping.headers.roles, 'x-roles');
  const when = (key: string, value: string) =>
    rulesOf(
      policyText(
        'a',
        `{ rules: [{ when: [{ key: "experimental.envoy.filters.countersign.identity[${key}]", values: ["${value}"] }] }] }`,
      ),
    );
  const may = (key: string, value: string, facts = mapping.of(peer)) =>
    authorize(when(key, value), asking('/', { identity: facts })).ok;
  assert.ok(may('roles', '[admin]') && may('tenant', 'acme') && may('rateClass', 's*'));
  assert.ok(!may('roles', '[guest]') && !may('roles', 'admin') && !may('tenant', '[acme]'));
  assert.equal(authorize(when('roles', '[admin]'), asking('/')).ok, false);
  assert.throws(
    () => parseRoleMapping('identities: [{ match: {}, roles: [a] }]', 'r'),
    /expected one of "spiffeIds"/,
  );
  assert.throws(
    () => parseRoleMapping('identities: [{ match: { spiffeId: [a] } }]', 'r'),
    /unknown key "spiffeId".*"spiffeIds"/,
  );
});

test('the client of a request is who trusted proxies say, where the mesh has some', () => {
  const text = policyText(
    'a',
    '{ rules: [{ from: [{ source: { remoteIpBlocks: ["1.2.3.4"] } }] }] }',
  );
  const policies = parseAuthorizationPolicies(text, 'policy.yaml');
  const may = (trustedProxies: number, forwardedFor: string, connection = {}) => {
    const rules = compileRules(policies, { mesh: { ...defaultMesh, trustedProxies } });
    const rawHeaders = ['X-Forwarded-For', forwardedFor];
    const request = { method: 'GET', path: '/', rawHeaders };
    return authorize(rules, asking('/', { request, connection })).ok;
  };
  assert.ok(may(1, '9.9.9.9, 1.2.3.4'));
  assert.ok(may(2, '1.2.3.4, 9.9.9.9'));
  assert.ok(!may(0, '1.2.3.4') && !may(1, '1.2.3.4, 9.9.9.9'));
  assert.ok(may(0, 'x', { sourceIp: '::ffff:1.2.3.4' }));
  assert.ok(may(0, 'x', { sourceIp: '9.9.9.9', remoteIp: '1.2.3.4' }));
  assert.ok(!may(0, 'x', { sourceIp: '1.2.3.4', remoteIp: '9.9.9.9' }));
});
