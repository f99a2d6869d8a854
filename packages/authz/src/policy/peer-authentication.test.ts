import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigError, parseYamlDocuments } from '@countersign/config';
import { parseIstioPolicies } from './istio-policies.ts';
import { mtlsOf } from './peer-authentication.ts';
import { policyText } from './policy-text.suite.ts';

const root = new URL('../../../../../shared/vectors/', import.meta.url);
const skip = existsSync(root) ? false : '../shared/vectors is absent';

function verdict(text: string): string {
  try {
    parseIstioPolicies(text, 'policy.yaml');
    return 'accepted';
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.code;
  }
}

/** The vectors name the reason for a refusal in `_err`, which is no part of the document. */
function documentsOf(file: string): string[] {
  const text = readFileSync(new URL(`istio-api/${file}`, root), 'utf8');
  return text
    .split(/^---$/m)
    .map((document) => document.replace(/^_err: .*$/m, ''))
    .filter((document) => document.includes('kind:'));
}

for (const kind of ['peerauth', 'reqauth']) {
  test(`foreign vectors: valid ${kind} documents parse, invalid ones do not`, { skip }, (t) => {
    const valid = documentsOf(`${kind}-valid.yaml`);
    const invalid = documentsOf(`${kind}-invalid.yaml`);
    t.diagnostic(`${valid.length} valid and ${invalid.length} invalid documents`);
    for (const text of valid) assert.equal(verdict(text), 'accepted', text);
    for (const text of invalid) assert.notEqual(verdict(text), 'accepted', text);
    assert.ok(valid.length >= 1 && invalid.length >= 6);
  });
}

interface Compiled {
  readonly action: string;
  readonly name: string;
  readonly groups: readonly {
    readonly rules: readonly {
      readonly matches: readonly {
        readonly destinationPorts?: readonly number[];
        readonly notDestinationPorts?: readonly number[];
        readonly notPrincipals?: readonly unknown[];
      }[];
    }[];
  }[];
}

/** Whether the policy that Istio's own compiler made of them denies plaintext on a port. */
function deniesPlaintext(policies: readonly Compiled[], port: number): boolean {
  return policies.some(({ groups }) =>
    groups.some(({ rules }) =>
      rules.every(({ matches }) =>
        matches.some(
          ({ destinationPorts, notDestinationPorts, notPrincipals }) =>
            (destinationPorts?.includes(port) ?? true) &&
            !(notDestinationPorts?.includes(port) ?? false) &&
            (notPrincipals !== undefined ||
              destinationPorts !== undefined ||
              notDestinationPorts !== undefined),
        ),
      ),
    ),
  );
}

test('foreign vectors: the effective mode of each port is the one that Istio compiles', {
  skip,
}, (t) => {
  const directory = new URL('istio-ambient/', root);
  const inputs = readdirSync(directory).filter((file) => /^peer-authn.*-in\.yaml$/.test(file));
  const read = (file: string) => readFileSync(new URL(file, directory), 'utf8');
  let asked = 0;
  for (const input of inputs) {
    const { peers } = parseIstioPolicies(read(input), input);
    const output = input.replace('-in.yaml', '.yaml');
    const compiled = parseYamlDocuments(read(output), output).map(({ value }) => value as Compiled);
    const own = peers.find(({ labels }) => labels !== undefined);
    if (own?.labels === undefined) continue;
    const workload = { namespace: own.namespace, labels: own.labels };
    // Where a workload has what its namespace has, Istio makes no policy for it.
    if (compiled.length === 0) continue;
    for (const port of [...own.ports.keys(), 1234]) {
      const { mode } = mtlsOf(peers, workload, port, 'istio-system');
      assert.equal(mode === 'STRICT', deniesPlaintext(compiled, port), `${input} ${port}: ${mode}`);
      asked += 1;
    }
  }
  t.diagnostic(`${asked} ports of ${inputs.length} files`);
  assert.ok(asked >= 10);
});

const peers = (
  ...specs: readonly (readonly [name: string, namespace: string, spec: string, more?: string])[]
) =>
  parseIstioPolicies(
    specs
      .map(([name, namespace, spec, more = '']) =>
        policyText(name, spec, { kind: 'PeerAuthentication', namespace, more }),
      )
      .join('---\n'),
    'peers.yaml',
  ).peers;
const app = { namespace: 'prod', labels: { app: 'web', tier: 'front' } };

test('mesh, namespace, workload and port inherit, the nearest counts, and unset is what was before', () => {
  const all = peers(
    ['mesh', 'istio-system', '{ mtls: { mode: STRICT } }'],
    ['ns', 'prod', '{ mtls: { mode: DISABLE } }'],
    [
      'web',
      'prod',
      [
        '{ selector: { matchLabels: { app: web } }, mtls: { mode: PERMISSIVE },',
        'portLevelMtls: { "80": { mode: STRICT }, 81: {}, "82": { mode: UNSET } } }',
      ].join(' '),
    ],
  );
  const mode = (port: number | undefined, workload = app) =>
    mtlsOf(all, workload, port, 'istio-system').mode;
  assert.deepEqual(
    [mode(80), mode(81), mode(82), mode(83)],
    ['STRICT', 'PERMISSIVE', 'PERMISSIVE', 'PERMISSIVE'],
  );
  assert.equal(mode(80, { namespace: 'prod', labels: { app: 'other', tier: '' } }), 'DISABLE');
  assert.equal(mode(80, { namespace: 'dev', labels: { app: 'web', tier: '' } }), 'STRICT');
  assert.deepEqual(mtlsOf([], app, 80, 'istio-system'), { mode: 'PERMISSIVE', by: undefined });
});

test('a selector in the root namespace governs nothing, not even there', () => {
  const all = peers([
    'web',
    'istio-system',
    '{ selector: { matchLabels: { app: web } }, mtls: { mode: STRICT } }',
  ]);
  for (const namespace of ['prod', 'istio-system']) {
    assert.equal(mtlsOf(all, { ...app, namespace }, 80, 'istio-system').mode, 'PERMISSIVE');
  }
});

test('of two for one place the older counts, then the first by name', () => {
  const age = (date: string) => `, creationTimestamp: "${date}"`;
  const [young, old] = [age('2026-02-01T00:00:00Z'), age('2026-01-01T00:00:00Z')];
  const one = peers(
    ['a', 'prod', '{ mtls: { mode: STRICT } }', young],
    ['b', 'prod', '{ mtls: { mode: DISABLE } }', old],
  );
  assert.equal(mtlsOf(one, app, 80, 'istio-system').mode, 'DISABLE');
  const same = peers(
    ['b', 'prod', '{ mtls: { mode: STRICT } }'],
    ['a', 'prod', '{ mtls: { mode: DISABLE } }'],
  );
  assert.deepEqual(mtlsOf(same, app, 80, 'istio-system'), { mode: 'DISABLE', by: 'prod/a' });
});
