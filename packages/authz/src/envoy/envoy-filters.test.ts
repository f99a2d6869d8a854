import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseYamlDocuments } from '@countersign/config';
import { parseAuthorizationPolicies } from '../policy/authorization-policy.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import { envoyFilters } from './envoy-filters.ts';

const vectors = new URL('../../../../../shared/vectors/istio-authz-builder/', import.meta.url);
const skip = existsSync(vectors) ? false : '../shared/vectors/istio-authz-builder is absent';

/** The workload and the trust domains that the vectors were made for; most of them for none. */
const workload = { namespace: 'foo', labels: { app: 'httpbin', version: 'v1' } };
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

interface FilterFile {
  readonly name: string;
  readonly typedConfig: Readonly<Record<string, unknown>>;
}

function filterOf(path: string): unknown {
  const [document] = parseYamlDocuments(read(path), path);
  assert.ok(document !== undefined);
  const { typedConfig } = document.value as FilterFile;
  const { '@type': _type, statPrefix: _prefix, ...filter } = typedConfig;
  return filter;
}

for (const protocol of ['http', 'tcp'] as const) {
  test(`foreign vectors: policies compile to the Envoy RBAC that Istio makes of them, for ${protocol}`, {
    skip,
  }, (t) => {
    const files = readdirSync(new URL(`${protocol}/`, vectors));
    // Before 1.11 hosts were told as regular expressions, which mean the same.
    const inputs = files.filter((file) => /^(?!custom|.*-before-).*-in\.yaml$/.test(file));
    let compared = 0;
    for (const input of inputs) {
      const name = input.slice(0, -'-in.yaml'.length);
      const policies = parseAuthorizationPolicies(read(`${protocol}/${input}`), input);
      const filters = envoyFilters(policies, {
        protocol,
        workload,
        mesh: meshes[name] ?? none,
      });
      for (const prefix of ['', 'extended-']) {
        const outputs = files
          .filter((file) => file.replace(/-out\d?\.yaml$/, '') === `${prefix}${name}`)
          .filter((file) => !file.endsWith('-in.yaml'))
          .toSorted();
        if (outputs.length === 0) continue;
        assert.equal(filters.length, outputs.length, name);
        for (const [index, output] of outputs.entries()) {
          assert.deepEqual(filters[index], filterOf(`${protocol}/${output}`), output);
          compared += 1;
        }
      }
    }
    t.diagnostic(`${compared} of ${files.length - inputs.length} files`);
    assert.ok(compared >= (protocol === 'http' ? 30 : 4));
  });
}
