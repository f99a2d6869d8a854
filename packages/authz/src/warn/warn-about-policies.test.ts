import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh } from '../policy/mesh-settings.ts';
import { policyText } from '../policy/policy-text.suite.ts';
import type { TableWorkload } from '../trial/authz-table.ts';
import { TableTrial } from '../trial/try-table.ts';
import type { PolicyWarning } from './policy-warning.ts';
import { warnAboutPolicies } from './warn-about-policies.ts';

function policy(name: string, spec: string, kind?: string, namespace?: string): string {
  return policyText(name, spec, {
    ...(kind !== undefined && { kind }),
    ...(namespace !== undefined && { namespace }),
  });
}

function warnings(
  documents: readonly string[],
  workloads?: readonly TableWorkload[],
): readonly PolicyWarning[] {
  const policies = parseIstioPolicies(documents.join('---\n'), 'policies.yaml');
  const all = warnAboutPolicies(policies, defaultMesh, workloads);
  for (const { message, example, position } of all) {
    assert.ok(message.length < 600 && position.line > 0);
    if (example === undefined) continue;
    const { got } = new TableTrial(policies, defaultMesh).try(example);
    assert.match(got, /^(ALLOW|DENY)$/);
  }
  return all;
}

function codes(...documents: readonly string[]): string[] {
  return warnings(documents)
    .filter(({ weight }) => weight === 'finding')
    .map(({ code }) => code.slice('ERR_AUTHZ_'.length));
}

const allow = (rules: string) => policy('a', `{ rules: [${rules}] }`);
const deny = (rules: string, name = 'd') => policy(name, `{ action: DENY, rules: [${rules}] }`);
const web = 'from: [{ source: { principals: [cluster.local/ns/prod/sa/web] } }]';

test('policies that mean what they say are warned of in no way', () => {
  const sound = [
    allow(
      `{ ${web}, to: [{ operation: { methods: [GET, HEAD], paths: [/orders, "/orders/*"] } }] }`,
    ),
    allow(
      '{ from: [{ source: { namespaces: [prod], notPrincipals: [cluster.local/ns/prod/sa/x] } }] }',
    ),
    allow(
      '{ from: [{ source: { requestPrincipals: ["*"] } }], to: [{ operation: { notPaths: ["/healthz*"] } }] }',
    ),
    allow('{ from: [{ source: { ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.0.0/16] } }] }'),
    allow('{}'),
    policy('none', '{}'),
    deny('{ from: [{ source: { notNamespaces: [prod] } }] }'),
    deny('{ to: [{ operation: { paths: ["/admin*"] } }] }'),
    deny('{ to: [{ operation: { ports: ["8080"], methods: [DELETE] } }] }'),
    policy('s', '{ mtls: { mode: STRICT } }', 'PeerAuthentication'),
  ];
  for (const document of sound) {
    assert.deepEqual(codes(document), [], document);
  }
});

test('an ALLOW rule of nothing but not… lets strangers in, and the request shows it', () => {
  const found = warnings([
    allow(
      '{ from: [{ source: { notNamespaces: [dev] } }], to: [{ operation: { paths: ["/x/*"] } }] }',
    ),
  ]);
  assert.deepEqual(
    found.map(({ code }) => code),
    ['ERR_AUTHZ_LETS_STRANGERS_IN'],
  );
  assert.match(
    found[0]?.message ?? '',
    /policy prod\/a rules\[0\]: notNamespaces says who may not.*GET "\/x\/x" by a plaintext caller is allowed$/,
  );
  assert.equal(found[0]?.example?.got, 'ALLOW');
  assert.equal(found[0]?.example?.request.principal, undefined);
  assert.deepEqual(
    codes(allow('{ when: [{ key: source.principal, notValues: [a/ns/b/sa/c] }] }')),
    ['LETS_STRANGERS_IN'],
  );
  assert.deepEqual(codes(allow('{ from: [{ source: { notRequestPrincipals: [i/s] } }] }')), [
    'LETS_STRANGERS_IN',
  ]);
  // Where plaintext gets nowhere, strangers have certificates.
  const strict = policy('s', '{ mtls: { mode: STRICT } }', 'PeerAuthentication');
  const [also] = warnings([allow('{ from: [{ source: { notNamespaces: [dev] } }] }'), strict]);
  assert.match(also?.message ?? '', /by "cluster\.local\/ns\/stranger\/sa\/stranger" is allowed/);
});

test('an ALLOW policy that reads like a DENY is told', () => {
  assert.deepEqual(codes(allow('{ to: [{ operation: { notPaths: ["/admin*"] } }] }')), [
    'MEANT_AS_DENY',
  ]);
  assert.deepEqual(
    codes(
      policy('deny-admin', `{ rules: [{ ${web}, to: [{ operation: { paths: ["/admin*"] } }] }] }`),
    ),
    ['MEANT_AS_DENY'],
  );
  const [told] = warnings([
    policy('block.all', '{ rules: [{ to: [{ operation: { methods: [DELETE] } }] }] }'),
  ]);
  assert.match(
    told?.message ?? '',
    /its action is ALLOW, and its name says that it denies: DELETE "\/" by a plaintext caller is allowed/,
  );
});

test('values that no request has are told with the request that was meant', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      '{ to: [{ operation: { methods: [get] } }] }',
      /methods "get" is not written in capitals.*GET "\/" by a plaintext caller is allowed/,
    ],
    ['{ to: [{ operation: { paths: ["/a?b=c"] } }] }', /has a query/],
    ['{ to: [{ operation: { paths: [admin] } }] }', /does not begin with "\/".*GET "\/admin"/],
    ['{ to: [{ operation: { paths: ["/a/*/b"] } }] }', /neither first nor last.*GET "\/a\/x\/b"/],
    ['{ to: [{ operation: { paths: ["/a/../b"] } }] }', /is "\/b" in every request/],
    ['{ to: [{ operation: { paths: ["/%61"] } }] }', /is "\/a" in every request/],
    [
      '{ to: [{ operation: { hosts: ["https://a.example/x"] } }] }',
      /is an address, expected a host/,
    ],
    [
      '{ from: [{ source: { principals: ["spiffe://cluster.local/ns/a/sa/b"] } }] }',
      /has the scheme/,
    ],
    [
      '{ from: [{ source: { principals: ["cluster.local/ns/*/sa/b"] } }] }',
      /neither first nor last/,
    ],
    ['{ from: [{ source: { namespaces: ["ns/prod"] } }] }', /has a "\/", which no namespace has/],
  ];
  for (const [rule, message] of cases) {
    const found = warnings([deny(rule)]).filter(({ code }) => code === 'ERR_AUTHZ_NEVER_MATCHES');
    assert.equal(found.length, 1, rule);
    assert.match(found[0]?.message ?? '', message);
    assert.equal(
      found[0]?.example?.got,
      'ALLOW',
      `${rule}: a DENY that matches nothing denies nothing`,
    );
  }
});

test('spellings that slip past a DENY are told, and were tried', () => {
  const evaded = (document: string) =>
    warnings([document])
      .filter(({ code }) => code === 'ERR_AUTHZ_EVADED')
      .map(
        ({ weight, example }) => `${weight} ${example?.request.host ?? ''}${example?.request.path}`,
      );
  assert.deepEqual(evaded(deny('{ to: [{ operation: { paths: ["/admin"] } }] }')), [
    'finding /admin;x',
  ]);
  assert.deepEqual(evaded(deny('{ to: [{ operation: { paths: ["/t/{**}"] } }] }')), [
    'finding /t/[x',
  ]);
  assert.deepEqual(evaded(deny('{ to: [{ operation: { paths: ["/admin", "/admin*"] } }] }')), [
    'note //adminx',
  ]);
  assert.deepEqual(evaded(deny('{ to: [{ operation: { hosts: [a.example] } }] }')), [
    'finding a.example:443/',
  ]);
  assert.deepEqual(
    evaded(deny('{ to: [{ operation: { hosts: [a.example, "a.example:*"] } }] }')),
    [],
  );
  assert.deepEqual(evaded(allow(`{ ${web}, to: [{ operation: { notPaths: ["/admin"] } }] }`)), [
    'finding /admin;x',
  ]);
  assert.deepEqual(evaded(allow(`{ ${web}, to: [{ operation: { paths: ["/admin"] } }] }`)), []);
});

test('rules that change nothing are told once, with what makes them so', () => {
  const shadowed = (...documents: readonly string[]) =>
    warnings(documents)
      .filter(({ code }) => code === 'ERR_AUTHZ_SHADOWED')
      .map(({ message }) =>
        /policy (\S+ rules\[\d\]) changes.* (\S+ policy \S+ rules\[\d\]) decides/
          .exec(message)
          ?.slice(1)
          .join(' by '),
      );
  const get = '{ to: [{ operation: { methods: [GET], paths: [/a] } }] }';
  assert.deepEqual(shadowed(allow(`${get}, { to: [{ operation: { paths: ["/a*"] } }] }`)), [
    'prod/a rules[0] by ALLOW policy prod/a rules[1]',
  ]);
  assert.deepEqual(shadowed(allow(`${get}, ${get}`)), [
    'prod/a rules[1] by ALLOW policy prod/a rules[0]',
  ]);
  assert.deepEqual(shadowed(allow(get), deny('{ to: [{ operation: { paths: ["/a*"] } }] }')), [
    'prod/a rules[0] by DENY policy prod/d rules[0]',
  ]);
  assert.deepEqual(shadowed(allow(`{ ${web} }, { from: [{ source: { principals: ["*"] } }] }`)), [
    'prod/a rules[0] by ALLOW policy prod/a rules[1]',
  ]);
  assert.deepEqual(shadowed(allow(`${get}, { to: [{ operation: { methods: [POST] } }] }`)), []);
  assert.deepEqual(
    shadowed(allow(get), policy('o', '{ rules: [{}] }', 'AuthorizationPolicy', 'dev')),
    [],
  );
  assert.deepEqual(
    shadowed(
      allow(
        '{ from: [{ source: { notNamespaces: [a] } }] }, { from: [{ source: { notNamespaces: [a, b] } }] }',
      ),
    ),
    ['prod/a rules[1] by ALLOW policy prod/a rules[0]'],
  );
});

const workload = (
  serviceAccount: string,
  labels: Record<string, string>,
  ports: [number, string][] = [],
): TableWorkload => ({
  ...{ namespace: 'prod', serviceAccount, labels, ports: new Map(ports) },
});

test('an HTTP field on a TCP port is told where the port is known', () => {
  const method = (ports: string) => `{ to: [{ operation: { methods: [GET]${ports} } }] }`;
  assert.deepEqual(codes(allow(method(', ports: ["5432"]'))), ['TCP_FIELD']);
  assert.deepEqual(codes(allow(method(', ports: ["8080"]'))), []);
  const db = workload('db', { app: 'db' }, [[9999, 'tcp']]);
  const [told] = warnings([deny(method(''))], [db]);
  assert.equal(told?.code, 'ERR_AUTHZ_TCP_FIELD');
  assert.match(
    told?.message ?? '',
    /port 9999 is no HTTP, and only HTTP has operation\.methods: .*denies more: a raw TCP connection to port 9999 by/,
  );
});

test('selectors and callers that are nobody are told where the workloads are known, and only there', () => {
  const documents = [
    policy('a', `{ selector: { matchLabels: { app: ordres } }, rules: [{ ${web} }] }`),
    policy('b', '{ rules: [{ from: [{ source: { serviceAccounts: [web, wbe] } }] }] }'),
    policy(
      'p',
      '{ selector: { matchLabels: { app: nope } }, mtls: { mode: STRICT } }',
      'PeerAuthentication',
    ),
  ];
  assert.deepEqual(codes(...documents), []);
  const found = warnings(documents, [
    workload('web', { app: 'web' }),
    workload('orders', { app: 'orders' }),
  ]);
  assert.deepEqual(
    found.map(({ message }) => message.replace(/, and no.*|: .*/s, '')),
    ['policy prod/a selects app=ordres', 'policy prod/b rules[0]', 'PeerAuthentication prod/p'],
  );
  assert.match(found[1]?.message ?? '', /serviceAccounts "wbe" is no known workload/);
});

test('a PeerAuthentication with a selector in the root namespace is told to govern nothing', () => {
  const rooted = policy(
    'p',
    '{ selector: { matchLabels: { app: web } }, mtls: { mode: STRICT } }',
    'PeerAuthentication',
    'istio-system',
  );
  const [told] = warnings([rooted]);
  assert.equal(told?.code, 'ERR_AUTHZ_GOVERNS_NOTHING');
  assert.match(
    told?.message ?? '',
    /not even STRICT there: GET "\/" by a plaintext caller to a workload with these labels is allowed/,
  );
});
