import type {
  AuthorizationPolicy,
  AuthorizationRule,
  FieldValues,
} from '../policy/authorization-policy.ts';
import { isPathTemplate } from '../rules/path-template.ts';
import { nameOf } from '../rules/rule-set.ts';
import type { TableRequest } from '../trial/authz-table.ts';
import {
  alone,
  formatRequest,
  type PolicyWarning,
  tried,
  type WarningScene,
} from './policy-warning.ts';
import { pathOf, witnessOf, workloadOf } from './witness.ts';

/**
 * What must not be, and can be had by another spelling that most servers take for the same: paths and hosts of DENY
 * rules, and those that ALLOW rules exclude.
 */
export function evasionWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  if (policy.action !== 'ALLOW' && policy.action !== 'DENY') return [];
  const [pathKey, hostKey] =
    policy.action === 'DENY' ? (['paths', 'hosts'] as const) : (['notPaths', 'notHosts'] as const);
  return policy.rules.flatMap((rule, index) =>
    (rule.to ?? []).flatMap((operation) => {
      const narrowed = { ...rule, to: [operation] };
      const spellings = [
        ...pathSpellings(operation[pathKey] ?? []),
        ...hostSpellings(operation[hostKey] ?? []),
      ];
      return spellings.flatMap((spelling) => {
        const warning = evaded(scene, policy, narrowed, { ...spelling, index });
        return warning === undefined ? [] : [warning];
      });
    }),
  );
}

interface Spelling {
  readonly value: string;
  readonly right: Partial<TableRequest>;
  readonly other: Partial<TableRequest>;
  readonly weight: PolicyWarning['weight'];
}

function evaded(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  { value, right, other, weight, index }: Spelling & { readonly index: number },
): PolicyWarning | undefined {
  const workload = workloadOf(policy, scene.mesh.rootNamespace);
  const witness = witnessOf(positive(rule), scene.mesh.trustDomain);
  const one = alone(scene, policy);
  // The spelling that the policy has is denied, and the other is not: else there is nothing to evade.
  if (tried(one, workload, { ...witness, ...right }).got !== 'DENY') return undefined;
  const example = tried(one, workload, { ...witness, ...other });
  if (example.got !== 'ALLOW') return undefined;
  return {
    code: 'ERR_AUTHZ_EVADED',
    weight,
    message: [
      `policy ${nameOf(policy)} rules[${index}]: ${JSON.stringify(value)} is denied,`,
      `and another spelling of it is not: ${formatRequest(example.request)} is allowed`,
    ].join(' '),
    file: policy.file,
    position: rule.position,
    example,
  };
}

/** Without what the rule excludes, which a witness would stumble over. */
function positive(rule: AuthorizationRule): AuthorizationRule {
  const kept = (values: FieldValues) =>
    Object.fromEntries(Object.entries(values).filter(([key]) => !key.startsWith('not')));
  return { ...rule, from: rule.from?.map(kept), to: rule.to?.map(kept) };
}

function pathSpellings(paths: readonly string[]): Spelling[] {
  const hasPrefixOf = (path: string) =>
    paths.some((each) => each.endsWith('*') && each !== path && path.startsWith(each.slice(0, -1)));
  return paths.flatMap((value): Spelling[] => {
    const path = pathOf(value) ?? '/';
    const spelling = (other: string, weight: Spelling['weight'] = 'finding'): Spelling => ({
      ...{ value, right: { path }, other: { path: other }, weight },
    });
    if (isPathTemplate(value)) return [spelling(pathOf(value.replace(/\{\*{1,2}\}/, '[x')) ?? '/')];
    // "/admin" is "/admin;x" to servers that know parameters.
    if (!value.includes('*')) {
      return value === '/' || hasPrefixOf(value) ? [] : [spelling(`${path};x`)];
    }
    return value.startsWith('/') && value !== '/*' ? [spelling(`/${path}`, 'note')] : [];
  });
}

function hostSpellings(hosts: readonly string[]): Spelling[] {
  return hosts.flatMap((value): Spelling[] => {
    if (value.endsWith('*') || /:\d+$/.test(value)) return [];
    const host = value.replace(/^\*/, 'x');
    return [{ value, right: { host }, other: { host: `${host}:443` }, weight: 'finding' }];
  });
}
