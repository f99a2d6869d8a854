import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBundle, staticBundles, type VerifiedPeer, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import fc from 'fast-check';
import { parseAuthorizationPolicies } from './authorization-policy.ts';
import { authorize } from './authorize.ts';
import { explain } from './explain.ts';
import { readPath } from './request-path.ts';
import { compileRules } from './rule-set.ts';

/** A policy as plain data, and what Istio says that it means, without any of the compiled matchers. */
interface PlainPolicy {
  readonly action: 'ALLOW' | 'DENY';
  readonly rules: readonly PlainRule[];
}

interface PlainRule {
  readonly from?: readonly { readonly principals: readonly string[] }[];
  readonly to?: readonly {
    readonly methods?: readonly string[];
    readonly paths?: readonly string[];
  }[];
}

interface PlainQuestion {
  readonly id: string | undefined;
  readonly method: string;
  readonly path: string;
}

function referenceAnswer(policies: readonly PlainPolicy[], asked: PlainQuestion): string {
  const readings = readPath(asked.path);
  if (typeof readings === 'string') return 'ERR_AUTHZ_PATH';
  const paths = [readings.base, ...readings.others];
  const applies = (rule: PlainRule, action: string) => {
    const everyPath = (pattern: string) => paths.map((path) => globMatches(pattern, path));
    const from =
      rule.from?.some(({ principals }) =>
        principals.some((pattern) => asked.id !== undefined && globMatches(pattern, asked.id)),
      ) ?? true;
    const to =
      rule.to?.some(({ methods, paths: patterns }) => {
        const method = methods?.some((pattern) => globMatches(pattern, asked.method)) ?? true;
        if (!method || patterns === undefined) return method;
        const verdicts = paths.map((_, index) =>
          patterns.some((pattern) => everyPath(pattern)[index]),
        );
        return action === 'DENY' ? verdicts.includes(true) : !verdicts.includes(false);
      }) ?? true;
    return from && to;
  };
  const some = (action: string) =>
    policies.some(
      (each) => each.action === action && each.rules.some((rule) => applies(rule, action)),
    );
  if (some('DENY')) return 'ERR_AUTHZ_DENIED';
  if (policies.some(({ action }) => action === 'ALLOW')) {
    return some('ALLOW') ? 'permit' : 'ERR_AUTHZ_NO_RULE';
  }
  return asked.id === undefined ? 'ERR_AUTHZ_ANONYMOUS' : 'permit';
}

/** As a regular expression, the way Istio hands its patterns to Envoy. */
function globMatches(pattern: string, text: string): boolean {
  if (pattern === '*') return text !== '';
  const source = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${source}$`, 's').test(text);
}

const ids = ['a.b/ns/x/sa/web', 'a.b/ns/x/sa/webs', 'a.b/ns/y/sa/web', 'c.d/ns/x/sa/web'];
const ca = testCa({ at: 0 });
const bundles = staticBundles(makeBundle('a.b', [ca.root]), makeBundle('c.d', [ca.root]));
const peers = new Map(ids.map((id) => [id, peer(id)]));

function peer(id: string): VerifiedPeer {
  const { chain } = ca.svid(`spiffe://${id}`);
  const result = verifyPeer({ chain, bundles, at: 0, purpose: 'client' });
  assert.ok(result.ok);
  return result.peer;
}

const principals = fc.constantFrom(
  ...ids,
  'a.b/*',
  'a.b/ns/x/*',
  '*/sa/web',
  '*web',
  'c.d/ns*',
  '*',
);
const methods = fc.constantFrom('GET', 'POST', 'P*', '*T', '*');
const patterns = fc.constantFrom('/', '/a', '/a/*', '/a*', '/b/c', '*/c', '*.js', '/x%20y', '*');
const some = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 2 });
const operation = fc.oneof(
  fc.record({ methods: some(methods), paths: some(patterns) }),
  fc.record({ methods: some(methods) }),
  fc.record({ paths: some(patterns) }),
);
const rule = fc.record(
  { from: some(fc.record({ principals: some(principals) })), to: some(operation) },
  { requiredKeys: [] },
);
const policy: fc.Arbitrary<PlainPolicy> = fc.oneof(
  fc.record({ action: fc.constant('ALLOW' as const), rules: fc.array(rule, { maxLength: 3 }) }),
  fc.record({ action: fc.constant('DENY' as const), rules: some(rule) }),
);
const path = fc
  .array(
    fc.constantFrom('a', 'b', 'c', '/', '/', '..', '.js', '%2f', '\\', ';v', '%61', '?q', '#'),
    {
      maxLength: 6,
    },
  )
  .map((parts) => `/${parts.join('')}`);
const asked: fc.Arbitrary<PlainQuestion> = fc.record({
  id: fc.constantFrom(...ids, undefined),
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
  path: fc.oneof(path, fc.constantFrom('/', '/a', '/a/b', '/b/c', '/a/c', '/x.js', 'a')),
});

/** Written as a file and read again, so that the whole way is under test. */
function fileOf(policies: readonly PlainPolicy[]): string {
  return policies
    .map(({ action, rules }, index) =>
      JSON.stringify({
        apiVersion: 'security.istio.io/v1',
        kind: 'AuthorizationPolicy',
        metadata: { name: `p${index}` },
        spec: {
          action,
          rules: rules.map((each) => ({
            ...(each.from && { from: each.from.map((source) => ({ source })) }),
            ...(each.to && { to: each.to.map((of) => ({ operation: of })) }),
          })),
        },
      }),
    )
    .join('\n---\n');
}

test('authorize and its explanation agree with a naive reading of the policies', (t) => {
  const counts = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(policy, { minLength: 1, maxLength: 3 }),
      fc.array(asked),
      (policies, all) => {
        const rules = compileRules(parseAuthorizationPolicies(fileOf(policies), 'policy.yaml'));
        for (const { id, method, path: target } of all) {
          const question = {
            peer:
              (id === undefined ? undefined : peers.get(id)) ?? ({ kind: 'anonymous' } as const),
            revocation: { status: 'good' } as const,
            at: 0,
            unknownRevocation: 'refuse' as const,
            request: { method, path: target },
          };
          const result = authorize(rules, question);
          const answer = result.ok ? 'permit' : result.code;
          counts.set(answer, (counts.get(answer) ?? 0) + 1);
          assert.equal(answer, referenceAnswer(policies, { id, method, path: target }));
          const explained = explain(rules, question);
          const deniedByRule = explained.rules.some(
            (each) => each.action === 'DENY' && each.applies,
          );
          assert.equal(deniedByRule, answer === 'ERR_AUTHZ_DENIED');
          if (answer === 'permit' && rules.allowPolicies.length > 0) {
            assert.ok(explained.closest?.applies);
          }
        }
      },
    ),
    { numRuns: 400 },
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  for (const code of ['permit', 'ERR_AUTHZ_DENIED', 'ERR_AUTHZ_NO_RULE', 'ERR_AUTHZ_PATH']) {
    assert.ok((counts.get(code) ?? 0) > 20, `${code} was hardly ever the answer`);
  }
});
