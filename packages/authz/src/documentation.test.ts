import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAuthorizationPolicies } from './policy/authorization-policy.ts';
import { parseIstioPolicies } from './policy/istio-policies.ts';
import { defaultMesh } from './policy/mesh-settings.ts';
import { parseRoleMapping } from './roles/role-mapping.ts';
import { parseAuthzTable } from './trial/authz-table.ts';
import { TableTrial } from './trial/try-table.ts';
import { warnAboutPolicies } from './warn/warn-about-policies.ts';

const text = readFileSync(new URL('../../../docs/authorization.md', import.meta.url), 'utf8');
const blocks = [...text.matchAll(/```yaml\n(.*?)```/gs)].map((found) => found[1] ?? '');
const blockWith = (word: string) => blocks.find((block) => block.includes(word)) ?? '';

test('what the documentation writes is read, and is what it says', () => {
  const policy = blockWith('kind: AuthorizationPolicy');
  assert.equal(parseAuthorizationPolicies(policy, 'policy.yaml').length, 1);
  assert.deepEqual(warnAboutPolicies(parseIstioPolicies(policy, 'policy.yaml')), []);
  const [row] = parseAuthzTable(blockWith('expect: ALLOW'), 'table.yaml');
  assert.ok(row !== undefined);
  assert.equal(new TableTrial(parseIstioPolicies('', ''), defaultMesh).try(row).got, row.expect);
  assert.equal(parseRoleMapping(blockWith('identities:'), 'roles.yaml').headers.roles, 'X-Roles');
  const when = blockWith('countersign.identity[tenant]');
  const asking = policy.replace(/ {6}when:.*/s, `${when.replaceAll(/^/gm, '      ').trimEnd()}\n`);
  assert.equal(parseAuthorizationPolicies(asking, 'policy.yaml')[0]?.rules[0]?.when.length, 2);
});
