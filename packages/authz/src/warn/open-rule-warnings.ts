import type {
  AuthorizationPolicy,
  AuthorizationRule,
  FieldValues,
} from '../policy/authorization-policy.ts';
import { nameOf } from '../rules/rule-set.ts';
import type { TableRequest } from '../trial/authz-table.ts';
import {
  alone,
  formatRequest,
  type PolicyWarning,
  tried,
  type WarningExample,
  type WarningScene,
} from './policy-warning.ts';
import { stranger, witnessOf, workloadOf } from './witness.ts';

/**
 * ALLOW rules that say who or what may not, and by that let everybody else in: those whose source has nothing but
 * `not…` fields about identities, and those that name no caller and exclude operations, which read like a DENY.
 */
export function openRuleWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  if (policy.action !== 'ALLOW' || policy.isDryRun) return [];
  return policy.rules.flatMap((rule, index) => {
    const warning =
      strangersIn(scene, policy, rule, index) ?? meantAsDeny(scene, policy, rule, index);
    return warning === undefined ? [] : [warning];
  });
}

function strangersIn(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  index: number,
): PolicyWarning | undefined {
  if (rule.when.some(({ key, values }) => isIdentity(key) && values.length > 0)) return undefined;
  const place = (rule.from ?? []).findIndex(isNegativeAlone);
  const source = rule.from?.[place];
  const excluded = rule.when.find(({ key }) => isIdentity(key));
  if (source === undefined && (excluded === undefined || rule.from !== undefined)) return undefined;
  const named = source === undefined ? `when ${excluded?.key}` : negativeKeys(source).join(', ');
  const asked: AuthorizationRule = source === undefined ? rule : { ...rule, from: [source] };
  const example = strangerLetIn(scene, policy, asked);
  if (example === undefined) return undefined;
  return {
    code: 'ERR_AUTHZ_LETS_STRANGERS_IN',
    weight: 'finding',
    message: [
      `policy ${nameOf(policy)} rules[${index}]: ${named} says who may not, and lets in everybody`,
      'else, also whoever has no such identity at all:',
      `${formatRequest(example.request)} is allowed`,
    ].join(' '),
    file: policy.file,
    position: rule.position,
    example,
  };
}

function meantAsDeny(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  index: number,
): PolicyWarning | undefined {
  const excludes = (rule.to ?? []).flatMap(negativeKeys);
  const isNamedSo = /^(?:deny|block|forbid|reject|disallow)(?:$|[-_.])|[-_.]deny$/i.test(
    policy.name,
  );
  const isForAll = rule.from === undefined && !rule.when.some(({ key }) => isIdentity(key));
  if (!isNamedSo && !(isForAll && excludes.length > 0)) return undefined;
  const example =
    strangerLetIn(scene, policy, rule) ??
    letIn(scene, policy, witnessOf(rule, scene.mesh.trustDomain));
  if (example === undefined) return undefined;
  const why = isNamedSo
    ? 'its name says that it denies'
    : `${excludes.join(', ')} excludes, and nothing says who may`;
  return {
    code: 'ERR_AUTHZ_MEANT_AS_DENY',
    weight: 'finding',
    message: [
      `policy ${nameOf(policy)} rules[${index}]: its action is ALLOW, and ${why}:`,
      `${formatRequest(example.request)} is allowed;`,
      'what must not be is a policy with action DENY',
    ].join(' '),
    file: policy.file,
    position: rule.position,
    example,
  };
}

/** Without a certificate and a token, or where that gets nowhere, with a certificate that nobody knows. */
function strangerLetIn(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
): WarningExample | undefined {
  const witness = { ...witnessOf(rule, scene.mesh.trustDomain), jwt: undefined };
  return (
    letIn(scene, policy, { ...witness, principal: undefined, sni: undefined }) ??
    letIn(scene, policy, { ...witness, principal: `${scene.mesh.trustDomain}/${stranger}` })
  );
}

function letIn(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  request: TableRequest,
): WarningExample | undefined {
  const workload = workloadOf(policy, scene.mesh.rootNamespace);
  const example = tried(alone(scene, policy), workload, request);
  return example.got === 'ALLOW' ? example : undefined;
}

const identityKeys = [
  'principals',
  'requestPrincipals',
  'namespaces',
  'serviceAccounts',
  'trustDomains',
];

function isNegativeAlone(source: FieldValues): boolean {
  const isNamed = identityKeys.some((key) => (source[key] ?? []).length > 0);
  return (
    !isNamed && negativeKeys(source).some((key) => /rincipals|amespaces|ccounts|omains/.test(key))
  );
}

function negativeKeys(values: FieldValues): string[] {
  return Object.keys(values).filter(
    (key) => key.startsWith('not') && (values[key] ?? []).length > 0,
  );
}

function isIdentity(key: string): boolean {
  return /^source\.(?:principal|namespace|serviceAccount|trustDomain)$|^request\.auth\./.test(key);
}
