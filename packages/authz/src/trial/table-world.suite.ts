import assert from 'node:assert/strict';
import { parseIstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import { policyText } from '../policy/policy-text.suite.ts';
import { parseAuthzTable } from './authz-table.ts';
import { TableTrial } from './try-table.ts';

interface Written {
  readonly kind?: string;
  readonly namespace?: string;
  readonly annotations?: string;
  readonly spec: string;
}

export function policiesOf(...all: readonly Written[]) {
  const text = all
    .map(({ kind, namespace, annotations, spec }, index) =>
      policyText(`p${index}`, spec, {
        ...(kind !== undefined && { kind }),
        ...(namespace !== undefined && { namespace }),
        ...(annotations !== undefined && { more: `, annotations: ${annotations}` }),
      }),
    )
    .join('---\n');
  return parseIstioPolicies(text, 'policies.yaml');
}

export type Row = readonly [expect: 'ALLOW' | 'DENY', request: string, workload?: string];

export const orders =
  '{ namespace: prod, labels: { app: orders }, ports: { "8080": http, "9000": tcp } }';
export const web = 'principal: cluster.local/ns/prod/sa/web';

/** Every row as a table of its own, so that a message names the row. */
export function expectRows(
  policies: ReturnType<typeof policiesOf>,
  rows: readonly Row[],
  mesh: MeshSettings = defaultMesh,
): void {
  const trial = new TableTrial(policies, mesh);
  for (const [expect, request, workload = orders] of rows) {
    const text = `[{ name: x, workload: ${workload}, request: { ${request} }, expect: ${expect} }]`;
    const [row] = parseAuthzTable(text, 'table.yaml');
    assert.ok(row !== undefined);
    const { got, reason } = trial.try(row);
    assert.equal(got, expect, `${request}: ${reason}`);
    assert.ok(reason.length > 10);
  }
}
