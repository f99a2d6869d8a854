import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigError } from '@countersign/config';
import { parseAuthorizationPolicies } from './authorization-policy.ts';

const vectors = new URL('../../../../shared/vectors/istio-api/', import.meta.url);
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

test('foreign vectors: valid documents parse or are refused as not supported yet', {
  skip,
}, (t) => {
  const verdicts = documentsOf('authz-valid.yaml').map(verdict);
  t.diagnostic(`authz-valid.yaml: ${verdicts.length} documents: ${verdicts.join(', ')}`);
  assert.ok(verdicts.length >= 2);
  for (const each of verdicts) assert.match(each, /^(accepted|ERR_CONFIG_UNSUPPORTED)$/);
});

test('foreign vectors: invalid documents are refused', { skip }, (t) => {
  const verdicts = documentsOf('authz-invalid.yaml').map(verdict);
  t.diagnostic(`authz-invalid.yaml: ${verdicts.length} documents: ${verdicts.join(', ')}`);
  assert.ok(verdicts.length >= 2);
  for (const each of verdicts) assert.notEqual(each, 'accepted');
});

test('foreign vectors: every key of the fullest document is known by name', { skip }, () => {
  const [full = ''] = documentsOf('authz-valid.yaml');
  const error = failure(full);
  const named = error.issues.map(({ path }) => path.replaceAll(/\.\d+/g, ''));
  for (const key of ['selector', 'rules.when', 'source.notPrincipals', 'operation.hosts']) {
    assert.ok(
      named.some((path) => path.endsWith(key)),
      `${key} in ${named}`,
    );
  }
  assert.ok(error.issues.every(({ code }) => code === 'ERR_CONFIG_UNSUPPORTED'));
  assert.match(
    error.message,
    /^policy\.yaml:6:3: "selector" is not supported yet \(and \d+ more\)$/,
  );
});

test('a policy is read with its rules, patterns and places', () => {
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
  const patterns = first?.rules[0]?.from?.flatMap(({ principals }) => principals);
  assert.deepEqual(
    patterns?.map(({ kind, text: of }) => `${kind} ${of}`),
    [
      'exact example.com/ns/prod/sa/web',
      'prefix example.com/ns/dev/',
      'suffix /sa/batch',
      'present ',
    ],
  );
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

const unsupportedSpecs: readonly (readonly [string, string])[] = [
  ['selector', policy(' { selector: { matchLabels: { app: web } } }')],
  ['targetRefs', policy(' { targetRefs: [{ kind: Gateway, name: g }] }')],
  ['targetRef', policy(' { targetRef: { kind: Gateway, name: g } }')],
  ['provider', policy(' { provider: { name: x }, action: ALLOW, rules: [{}] }')],
  ['CUSTOM', policy(' { action: CUSTOM, rules: [{}] }')],
  ['AUDIT', policy(' { action: AUDIT, rules: [{}] }')],
  ['when', rule('when: [{ key: source.ip, values: ["1.2.3.4"] }]')],
  ...[
    'notPrincipals',
    'requestPrincipals',
    'notRequestPrincipals',
    'namespaces',
    'notNamespaces',
    'serviceAccounts',
    'notServiceAccounts',
    'ipBlocks',
    'notIpBlocks',
    'remoteIpBlocks',
    'notRemoteIpBlocks',
    'trustDomains',
    'notTrustDomains',
  ].map((key) => [key, source(`${key}: ["a"]`)] as const),
  ...['hosts', 'notHosts', 'ports', 'notPorts', 'notMethods', 'notPaths'].map(
    (key) => [key, operation(`${key}: ["80"]`)] as const,
  ),
  ['path template', operation('paths: ["/a/{*}/b"]')],
  ['path template', operation('paths: ["/{**}"]')],
  ['istio.io/dry-run', policy(' {}', '{ name: a, annotations: { istio.io/dry-run: "true" } }')],
  ['kind "PeerAuthentication"', 'kind: PeerAuthentication\n'],
];

for (const [index, [what, text]] of unsupportedSpecs.entries()) {
  test(`${what} is refused by name as not supported yet (${index})`, () => {
    const error = failure(text);
    assert.equal(error.code, 'ERR_CONFIG_UNSUPPORTED', error.message);
    assert.ok(error.message.includes(what), error.message);
    assert.match(error.message, /^policy\.yaml:\d+:\d+: .* is not supported yet/);
    assert.ok(error.issues[0]!.line > 0);
  });
}

const wrongSpecs: readonly (readonly [string, string, RegExp])[] = [
  ['an empty list of principals', source('principals: []'), /an empty list, expected at least one/],
  ['an empty source', source(''), /an empty source, expected "principals"/],
  ['an empty operation', operation(''), /an empty operation, expected "methods" or "paths"/],
  ['an empty from', rule('from: []'), /an empty list, expected at least one source/],
  ['an empty to', rule('to: []'), /an empty list, expected at least one operation/],
  ['a rule that is nothing', policy('\n  rules:\n    -\n'), /expected object, found nothing/],
  ['an empty principal', source('principals: [""]'), /principal "" is empty/],
  ['a star in the middle', source('principals: ["a/*/b"]'), /neither its first character nor/],
  ['a star at both ends', operation('paths: ["*/a/*"]'), /neither its first character nor/],
  ['a trust domain alone', source('principals: ["example.com"]'), /write "example\.com\/\*"/],
  ['a capital trust domain', source('principals: ["Example.com/a"]'), /is not lowercase/],
  ['a slash at the end', source('principals: ["example.com/a/"]'), /ends with "\/"/],
  ['another scheme', source('principals: ["https://a/*"]'), /has ":", which no SPIFFE ID has/],
  ['a lowercase method', operation('methods: [get]'), /written in capitals: "GET"/],
  ['a relative path', operation('paths: ["admin"]'), /path "admin" does not begin with "\/"/],
  ['a query', operation('paths: ["/a?b=c"]'), /the query is not part of the path/],
  ['a fragment', operation('paths: ["/a#b"]'), /has a "#"/],
  ['a parameter', operation('paths: ["/a;b"]'), /has a ";"/],
  ['a backslash', operation("paths: ['/a\\b']"), /has a backslash/],
  ['a double slash', operation('paths: ["/a//b"]'), /has "\/\/"/],
  ['a dot segment', operation('paths: ["/a/../b"]'), /segment "\." or "\.\."/],
  ['a broken escape', operation('paths: ["/a%2"]'), /begins no escape/],
  ['DENY without rules', policy(' { action: DENY }'), /denies nothing; to deny everything/],
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

test('all unsupported places of a document are named at once, in file order', () => {
  const error = failure(
    policy(
      '\n  selector: {}\n  rules:\n    - to:\n        - operation: { hosts: [a], ports: ["1"] }\n',
    ),
  );
  assert.deepEqual(
    error.issues.map(({ path, line }) => `${line} ${path}`),
    [
      '5 spec.selector',
      '8 spec.rules.0.to.0.operation.hosts',
      '8 spec.rules.0.to.0.operation.ports',
    ],
  );
});
