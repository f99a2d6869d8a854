import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigError } from '@countersign/config';
import { parseAuthorizationPolicies } from './authorization-policy.ts';

const vectors = new URL('../../../../../shared/vectors/istio-api/', import.meta.url);
const skip = existsSync(vectors) ? false : '../shared/vectors/istio-api is absent';

/** A policy whose spec is written in flow or block style, from line 6 on. */
function policy(spec: string, metadata = '{ name: web, namespace: prod }'): string {
  return [
    'apiVersion: security.istio.io/v1',
    'kind: AuthorizationPolicy',
    `metadata: ${metadata}`,
    `spec:${spec}`,
  ].join('\n');
}

function failure(text: string): ConfigError {
  try {
    parseAuthorizationPolicies(text, 'policy.yaml');
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown;
  }
  return assert.fail('the policy was accepted');
}

function verdict(text: string): string {
  try {
    parseAuthorizationPolicies(text, 'policy.yaml');
    return 'accepted';
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.code;
  }
}

/** The vectors name the reason for a refusal in `_err`, which is no part of the document. */
function documentsOf(file: string): string[] {
  const text = readFileSync(new URL(file, vectors), 'utf8');
  return text.split(/^---$/m).map((document) => document.replace(/^_err: .*$/m, ''));
}

test('foreign vectors: valid documents parse, invalid ones do not', { skip }, (t) => {
  const valid = documentsOf('authz-valid.yaml').map(verdict);
  const invalid = documentsOf('authz-invalid.yaml').map(verdict);
  t.diagnostic(`${valid.length} valid and ${invalid.length} invalid documents`);
  assert.deepEqual([valid.length, invalid.length], [2, 2]);
  for (const each of valid) assert.equal(each, 'accepted');
  for (const each of invalid) assert.notEqual(each, 'accepted');
});

test('a policy is read with its rules, values and places', () => {
  const text = `${policy(`
  action: DENY
  rules:
    - from:
        - source: { principals: ["example.com/ns/prod/sa/web", "spiffe://example.com/ns/dev/*"] }
        - source: { principals: ["*/sa/batch", "*"] }
      to:
        - operation: { methods: [GET, "P*"], paths: ["/a", "/b/*", "*.json", "*"] }
    - {}
`)}\n---\n${policy(' {}', '{ name: none }')}\n`;
  const [first, second, ...more] = parseAuthorizationPolicies(text, 'policy.yaml');
  assert.equal(more.length, 0);
  assert.deepEqual(
    [first?.name, first?.namespace, first?.action, first?.rules.length],
    ['web', 'prod', 'DENY', 2],
  );
  assert.deepEqual(first?.rules[0]?.position, { line: 7, column: 7 });
  assert.deepEqual(first?.rules[0]?.from?.[1], { principals: ['*/sa/batch', '*'] });
  assert.deepEqual(first?.rules[0]?.to?.[0]?.methods, ['GET', 'P*']);
  assert.deepEqual(first?.rules[1]?.from, undefined);
  assert.deepEqual(
    [second?.name, second?.namespace, second?.action, second?.rules],
    ['none', 'default', 'ALLOW', []],
  );
});

test('what kubectl prints can be pasted', () => {
  const text = `
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" }
  creationTimestamp: "2026-01-01T00:00:00Z"
  generation: 1
  labels: { app: web }
  name: web
  resourceVersion: "12"
  uid: 6f1f6c2e-0000-0000-0000-000000000000
spec:
  rules:
    - {}
status: {}
`;
  assert.equal(parseAuthorizationPolicies(text, 'policy.yaml')[0]?.rules.length, 1);
});

const rule = (inner: string) => policy(` { rules: [{ ${inner} }] }`);
const source = (inner: string) => rule(`from: [{ source: { ${inner} } }]`);
const operation = (inner: string) => rule(`to: [{ operation: { ${inner} } }]`);

const when = (inner: string) => rule(`when: [{ ${inner} }]`);

const wrongSpecs: readonly (readonly [string, string, RegExp])[] = [
  ['an empty source', source('principals: []'), /an empty source, expected at least one key/],
  ['an empty operation', operation(''), /an empty operation, expected at least one key/],
  ['an empty from', rule('from: []'), /an empty list, expected at least one source/],
  ['an empty to', rule('to: []'), /an empty list, expected at least one operation/],
  ['a rule that is nothing', policy('\n  rules:\n    -\n'), /expected object, found nothing/],
  ['an empty value', source('principals: [""]'), /principals: "" is empty/],
  ['a block that is none', source('ipBlocks: ["1.2.3"]'), /"1\.2\.3" is no IP address/],
  [
    'a prefix too long',
    source('notIpBlocks: ["1.2.3.4/33"]'),
    /prefix length "33", expected 0 to 32/,
  ],
  ['a zone', source('remoteIpBlocks: ["fe80::1%eth0"]'), /is no IP address/],
  ['a port too high', operation('ports: ["65536"]'), /"65536" is no port/],
  ['a port that is a name', operation('notPorts: ["http"]'), /"http" is no port/],
  ['a star in an account', source('serviceAccounts: ["ns/*"]'), /a service account is named whole/],
  ['two slashes in an account', source('serviceAccounts: ["a/b/c"]'), /neither "account" nor/],
  [
    'accounts beside principals',
    source('serviceAccounts: ["a"], principals: ["b"]'),
    /cannot stand with "principals"/,
  ],
  ['a star inside a domain', source('trustDomains: ["a*b"]'), /neither first nor last/],
  ['a slash in a domain', source('trustDomains: ["a/b"]'), /has a "\/"/],
  ['braces beyond a template', operation('paths: ["/a/{id}"]'), /beyond the operators/],
  ['an operator after the last', operation('paths: ["/{**}/a/{*}"]'), /must be the last/],
  ['a star in a template', operation('paths: ["/*/a/{*}"]'), /which no template can have/],
  ['a condition without values', when('key: source.ip'), /without "values" and "notValues"/],
  [
    'an unknown attribute',
    when('key: source.port, values: ["1"]'),
    /"source\.port" is no attribute/,
  ],
  [
    'a header without name',
    when('key: request.headers, values: ["1"]'),
    /request\.headers\[name\]/,
  ],
  ['a bad block in a condition', when('key: remote.ip, values: ["x"]'), /"x" is no IP address/],
  ['DENY without rules', policy(' { action: DENY }'), /denies nothing; to deny everything/],
  ['CUSTOM without rules', policy(' { action: CUSTOM, provider: { name: x } }'), /asks nobody/],
  ['CUSTOM without provider', policy(' { action: CUSTOM, rules: [{}] }'), /needs "provider\.name"/],
  ['a provider without CUSTOM', policy(' { provider: { name: x }, rules: [{}] }'), /is for CUSTOM/],
  [
    'a principal in CUSTOM',
    policy(
      ' { action: CUSTOM, provider: { name: x }, rules: [{ from: [{ source: { principals: [a] } }] }] }',
    ),
    /"principals" cannot stand in a CUSTOM policy/,
  ],
  [
    'two ways to select',
    policy(' { selector: { matchLabels: { a: b } }, targetRefs: [{ kind: Service, name: x }] }'),
    /only one of "selector"/,
  ],
  ['a target of another kind', policy(' { targetRefs: [{ kind: Pod, name: x }] }'), /core\/Pod/],
  [
    'a star in a label',
    policy(' { selector: { matchLabels: { a: "b*" } } }'),
    /a label is compared whole/,
  ],
  [
    'a dry run that is neither',
    policy(' {}', '{ name: a, annotations: { istio.io/dry-run: "yes" } }'),
    /"true" or "false", found "yes"/,
  ],
  ['a misspelt action', policy(' { action: DENYY }'), /the nearest is "DENY"/],
  ['no name', policy(' {}', '{ namespace: a }'), /metadata\.name: missing/],
];

for (const [what, text, message] of wrongSpecs) {
  test(`${what} is refused with its place`, () => {
    const error = failure(text);
    assert.equal(error.code, 'ERR_CONFIG_VALUE', error.message);
    assert.match(error.message, message);
    assert.match(error.message, /^policy\.yaml:[4-9]:|^policy\.yaml:3:/);
  });
}

test('what Istio takes is taken, whatever it is worth: check warns of it', () => {
  const taken = [
    source('principals: ["spiffe://a/b", "a/*/b", "*a*", "Example.com"]'),
    operation('methods: [get], paths: [admin, "/a?b", "/a;b", "/a/../b", "*/a/*"]'),
    operation('hosts: ["*"], notHosts: []'),
    when('key: "request.headersX[a]", values: [b]'),
    policy(' { selector: {} }'),
  ];
  for (const text of taken) assert.equal(verdict(text), 'accepted', text);
});

test('action, dry run, provider and target are read', () => {
  const [custom] = parseAuthorizationPolicies(
    policy(' { action: CUSTOM, provider: { name: opa }, rules: [{}] }'),
  );
  assert.deepEqual([custom?.action, custom?.provider, custom?.isDryRun], ['CUSTOM', 'opa', false]);
  const [dry] = parseAuthorizationPolicies(
    policy(
      ' { targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }] }',
      '{ name: a, annotations: { istio.io/dry-run: "True" } }',
    ),
  );
  assert.equal(dry?.isDryRun, true);
  assert.deepEqual(dry?.target.refs, [
    { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g' },
  ]);
});

test('another kind of document is refused by name', () => {
  const error = failure('kind: PeerAuthentication\n');
  assert.equal(error.code, 'ERR_CONFIG_UNSUPPORTED');
  assert.match(error.message, /kind "PeerAuthentication" as a policy is not supported yet/);
});

test('a key outside of the schema is unknown, the nearest one named', () => {
  const cases: readonly (readonly [string, string])[] = [
    [source('principles: ["a/b"]'), 'principals'],
    [operation('method: [GET]'), 'methods'],
    [rule('form: []'), 'from'],
    [policy(' { rule: [] }'), 'rules'],
    [`${policy(' {}')}\nspecs: {}\n`, 'spec'],
  ];
  for (const [text, nearest] of cases) {
    const error = failure(text);
    assert.equal(error.code, 'ERR_CONFIG_UNKNOWN_KEY', error.message);
    assert.match(error.message, new RegExp(`the nearest valid key is "${nearest}"`));
  }
});

test('a file without a policy is refused, for no policy would let every peer in', () => {
  for (const text of ['', '---\n', '# nothing\n']) {
    assert.match(failure(text).message, /^policy\.yaml:1:1: no policy in the file/);
  }
});

test('all that is wrong with a document is named at once, in file order', () => {
  const error = failure(
    policy(
      [
        '\n  action: DENY\n  provider: { name: a }\n  rules:\n    - to:\n',
        '        - operation: { ports: ["a", "1"] }\n    - when: [{ key: a }]\n',
      ].join(''),
    ),
  );
  assert.deepEqual(
    error.issues.map(({ path, line }) => `${line} ${path}`),
    [
      '6 spec.provider',
      '9 spec.rules.0.to.0.operation.ports.0',
      '10 spec.rules.1.when.0',
      '10 spec.rules.1.when.0.key',
    ],
  );
});
