import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseYamlDocuments } from '@countersign/config';
import fc from 'fast-check';
import { judge } from '../judge.ts';
import {
  type AuthorizationPolicy,
  parseAuthorizationPolicies,
} from '../policy/authorization-policy.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import { hasHeader, headerValues } from '../request/header-lines.ts';
import { normalizePath } from '../request/normalize-path.ts';
import { normalizeClaims } from '../rules/claim-match.ts';
import { parseIp } from '../rules/ip-block.ts';
import type { RuleFacts } from '../rules/rule-facts.ts';
import { compileRules, type RuleSet } from '../rules/rule-set.ts';
import { envoyFilters } from './envoy-filters.ts';
import {
  type EnvoyCase,
  type EnvoyListener,
  skip as noEnvoy,
  rbacConfig,
  startEnvoy,
} from './envoy-world.suite.ts';
import { generatedRules, policyFile } from './generated-rules.suite.ts';
import { casesOf, poolsOf } from './policy-pools.suite.ts';

const vectors = new URL('../../../../../shared/vectors/istio-authz-builder/', import.meta.url);
const noVectors = existsSync(vectors) ? false : '../shared/vectors/istio-authz-builder is absent';
const workload = { namespace: 'foo', labels: { app: 'httpbin', version: 'v1' } };

interface Subject {
  readonly name: string;
  readonly protocol: 'http' | 'tcp';
  readonly policies: readonly AuthorizationPolicy[];
  readonly rules: RuleSet;
  readonly listener: EnvoyListener;
}

/** Asks an Envoy and the compiled rules the same, and fails with the first that they answer differently. */
async function compare(
  subjects: readonly Subject[],
  total: number,
  report: (text: string) => void,
) {
  const each = Math.ceil(total / subjects.length);
  const cases = subjects.map(({ policies }, index) =>
    fc.sample(casesOf(poolsOf(policies), index), { numRuns: each, seed: 1 + index }),
  );
  const ids = new Set(cases.flat().flatMap(({ id }) => id ?? []));
  const envoy = await startEnvoy(
    subjects.map(({ listener }) => listener),
    [...ids],
  );
  const counts = { allowed: 0, denied: 0 };
  try {
    for (const [index, subject] of subjects.entries()) {
      for (const asked of cases[index] ?? []) {
        const facts = factsOf(asked, subject.protocol);
        const { ok } = judge(subject.rules[subject.protocol], facts, false);
        const status = await envoy.ask(asked);
        assert.equal(ok ? 200 : 403, status, `${subject.name}: ${JSON.stringify(asked)}`);
        counts[ok ? 'allowed' : 'denied'] += 1;
      }
    }
  } finally {
    await envoy.close();
  }
  report(
    `${counts.allowed} allowed and ${counts.denied} denied alike, over ${subjects.length} sets`,
  );
  return counts;
}

function factsOf(asked: EnvoyCase, protocol: 'http' | 'tcp'): RuleFacts {
  const path = normalizePath(asked.path, 'BASE');
  assert.ok(typeof path !== 'string', asked.path);
  const { headers, claims } = asked;
  return {
    names: asked.id === undefined ? undefined : { uris: [asked.id], dnsNames: [], subject: '' },
    serverName: asked.id === undefined ? '' : asked.sni.toLowerCase(),
    // What the PROXY protocol tells is the client, not the other end.
    sourceIp: parseIp('127.0.0.1'),
    remoteIp: parseIp(asked.sourceIp),
    destinationIp: parseIp(asked.destinationIp),
    destinationPort: asked.destinationPort,
    request:
      protocol === 'tcp'
        ? undefined
        : {
            method: asked.method,
            path: path.path,
            host: headerValues(headers, 'host')[0] ?? '',
            claims: claims === undefined ? undefined : normalizeClaims(claims, []),
            hasHeader: (name, matches) =>
              name === ':path'
                ? (matches?.(`${path.path}${path.query}`) ?? true)
                : hasHeader(headers, name, matches),
            headerValues: (name) => headerValues(headers, name),
          },
    metadata: () => undefined,
  };
}

const none: MeshSettings = { ...defaultMesh, trustDomain: '', rootNamespace: '' };
const meshes: Readonly<Record<string, MeshSettings>> = {
  'simple-policy-td-aliases': meshOf('td1', 'cluster.local'),
  'simple-policy-multiple-td-aliases': meshOf('td1', 'cluster.local', 'some-td'),
  'simple-policy-principal-with-wildcard': meshOf('td1', 'foobar'),
  'td-aliases-source-principal': meshOf('new-td', 'old-td', 'some-trustdomain'),
};

function meshOf(trustDomain: string, ...trustDomainAliases: string[]): MeshSettings {
  return { ...none, trustDomain, trustDomainAliases };
}

function read(path: string): string {
  return readFileSync(new URL(path, vectors), 'utf8');
}

/** Inputs whose providers Istio tells in several ways: the outputs of each. */
const customOutputs: Readonly<Record<string, readonly string[]>> = {
  'http/custom-simple-http': [
    'custom-bad',
    ...['custom-grpc-provider', 'custom-grpc-provider-no-namespace', 'custom-http-provider'],
  ],
  'http/custom-bad-multiple-providers': ['custom-bad-multiple-providers'],
  'tcp/custom-both-http-tcp': ['custom-both-http-tcp'],
};

/** Each input with the filters that Istio made of it. */
function vectorSubjects(): Subject[] {
  return (['http', 'tcp'] as const).flatMap((protocol) => {
    const files = readdirSync(new URL(`${protocol}/`, vectors));
    const inputs = files.filter((file) => file.endsWith('-in.yaml'));
    return inputs.flatMap((input) => {
      const name = input.slice(0, -'-in.yaml'.length);
      const policies = parseAuthorizationPolicies(read(`${protocol}/${input}`), input);
      const told = customOutputs[`${protocol}/${name}`] ?? [name];
      return [...told, ...told.map((each) => `extended-${each}`)].flatMap((output): Subject[] => {
        const outputs = files.filter((file) => file.replace(/-out\d?\.yaml$/, '') === output);
        const filters = outputs.toSorted().flatMap((file) => rbacOf(`${protocol}/${file}`));
        if (filters.length === 0) return [];
        const rules = compileRules(policies, { mesh: meshes[name] ?? none, workload });
        const listener = { protocol, filters };
        return [{ name: `${protocol}/${output}`, protocol, policies, rules, listener }];
      });
    });
  });
}

/**
 * The RBAC filter of a file, and none for what calls a provider. Where Istio only marks for whom a provider is asked, the
 * mark is enforced here: a provider that always says no.
 */
function rbacOf(path: string): object[] {
  const [document] = parseYamlDocuments(read(path), path);
  assert.ok(document !== undefined);
  const { typedConfig } = document.value as { typedConfig: Record<string, unknown> };
  if (!/rbac/.test(String(typedConfig['@type']))) return [];
  const { shadowRules, shadowRulesStatPrefix: prefix, ...rest } = typedConfig;
  if (prefix !== 'istio_ext_authz_') return [typedConfig];
  return [{ ...rest, rules: shadowRules }];
}

test('a real Envoy with the RBAC of the foreign vectors disagrees with none of 10,000 requests', {
  skip: noEnvoy || noVectors,
}, async (t) => {
  const counts = await compare(vectorSubjects(), 10_000, (text) => t.diagnostic(text));
  assert.ok(counts.allowed > 1000 && counts.denied > 1000);
});

test('a real Envoy with the RBAC of generated policies disagrees with none of 6,000 requests', {
  skip: noEnvoy,
}, async (t) => {
  const mesh = { ...defaultMesh, trustDomain: 'td1', trustDomainAliases: ['td2'] };
  const specs = fc.sample(generatedRules(true), { numRuns: 60, seed: 7 });
  const subjects = specs.flatMap((spec, index) => {
    const policies = parseAuthorizationPolicies(policyFile(spec), `generated-${index}`);
    return (['http', 'tcp'] as const).map((protocol): Subject => {
      const filters = envoyFilters(policies, { protocol, workload, mesh }).map((filter) =>
        rbacConfig(protocol, filter),
      );
      return {
        name: `${protocol} ${JSON.stringify(spec)}`,
        protocol,
        policies,
        rules: compileRules(policies, { mesh, workload }),
        listener: { protocol, filters },
      };
    });
  });
  const counts = await compare(subjects, 6000, (text) => t.diagnostic(text));
  assert.ok(counts.allowed > 500 && counts.denied > 500);
});
