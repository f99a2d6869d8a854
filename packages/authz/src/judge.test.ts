import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { envoyFilters } from './envoy/envoy-filters.ts';
import {
  factsOfPlain,
  generatedRequests,
  generatedRules,
  policyFile,
} from './envoy/generated-rules.suite.ts';
import { filtersAllow } from './envoy/rbac-evaluator.suite.ts';
import { explainFacts } from './explain.ts';
import { judge } from './judge.ts';
import { parseAuthorizationPolicies } from './policy/authorization-policy.ts';
import { defaultMesh } from './policy/mesh-settings.ts';
import { compileRules } from './rules/rule-set.ts';

const mesh = { ...defaultMesh, trustDomain: 'td1', trustDomainAliases: ['td2'] };
const workload = { namespace: 'foo', labels: {} };

for (const protocol of ['http', 'tcp'] as const) {
  test(`on ${protocol} compiled rules and their explanation agree with the Envoy RBAC that they mean`, (t) => {
    const counts = { allowed: 0, denied: 0 };
    fc.assert(
      fc.property(
        generatedRules(true),
        fc.array(generatedRequests([80, 8080], true), { minLength: 1, maxLength: 8 }),
        (specs, all) => {
          const policies = parseAuthorizationPolicies(policyFile(specs), 'policy.yaml');
          const rules = compileRules(policies, { mesh, workload })[protocol];
          const filters = envoyFilters(policies, { protocol, workload, mesh });
          for (const asked of all) {
            const facts = factsOfPlain(asked, protocol);
            const { ok } = judge(rules, facts, false);
            assert.equal(ok, filtersAllow(filters, facts));
            counts[ok ? 'allowed' : 'denied'] += 1;
            const explained = explainFacts(rules, facts, false);
            const applying = explained.rules.filter((rule) => rule.applies);
            const isDenied = applying.some(({ action }) => action === 'DENY');
            const isAllowed = applying.some(({ action }) => action === 'ALLOW');
            assert.equal(ok, !isDenied && (isAllowed || rules.allowPolicies.length === 0));
          }
        },
      ),
      { numRuns: 300 },
    );
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.allowed > 100 && counts.denied > 100);
  });
}
