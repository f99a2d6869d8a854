import {
  ConfigError,
  type ConfigPath,
  type Position,
  parseYamlDocuments,
  readDocument,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import { parseIpBlock } from '../rules/ip-block.ts';
import { wrongWithPath } from '../rules/path-template.ts';
import { conditionField, conditionKeys } from '../rules/rule-fields.ts';
import { DocumentIssues, quoted } from './istio-metadata.ts';
import { authorizationPolicySchema, type PolicyDocument } from './istio-schema.ts';
import { type PolicyTarget, readTarget } from './policy-target.ts';

export type PolicyAction = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

/** One AuthorizationPolicy as it was written. */
export interface AuthorizationPolicy {
  readonly name: string;
  /** `default` unless given. */
  readonly namespace: string;
  readonly action: PolicyAction;
  /** `istio.io/dry-run`: it is asked and its answer told, and nothing follows. */
  readonly isDryRun: boolean;
  /** Of a CUSTOM policy: who is asked. */
  readonly provider: string | undefined;
  readonly target: PolicyTarget;
  /** ALLOW without any rule allows nothing. */
  readonly rules: readonly AuthorizationRule[];
  readonly file: string;
  readonly position: Position;
}

/** Applies where one of `from` does, one of `to`, and all of `when`; an absent list applies to all. */
export interface AuthorizationRule {
  readonly from: readonly FieldValues[] | undefined;
  readonly to: readonly FieldValues[] | undefined;
  readonly when: readonly Condition[];
  readonly position: Position;
}

/** Values by the keys of a `source` or an `operation`, `not…` keys among them; all of them have to hold. */
export type FieldValues = Readonly<Record<string, readonly string[] | undefined>>;

export interface Condition {
  readonly key: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

/**
 * Reads Istio AuthorizationPolicy documents (`security.istio.io/v1`, `v1beta1`), strictly and whole: what Istio takes
 * is taken and means the same, what it refuses is refused.
 *
 * @param source YAML text of one or more documents, or documents read before
 * @param file names a text in messages
 * @throws ConfigError with file, line and column; a text without any document is one, since "no policy" lets all in
 */
export function parseAuthorizationPolicies(
  source: string | readonly SourceDocument[],
  file = 'policy.yaml',
): AuthorizationPolicy[] {
  const documents = typeof source === 'string' ? parseYamlDocuments(source, file) : source;
  if (documents.length === 0) {
    const message = 'no policy in the file; to allow nothing, write a policy with an empty spec';
    throw new ConfigError(file, [
      { code: 'ERR_CONFIG_VALUE', message, path: '', line: 1, column: 1 },
    ]);
  }
  return documents.map(readAuthorizationPolicy);
}

/** @throws ConfigError with every issue of the document */
export function readAuthorizationPolicy(document: SourceDocument): AuthorizationPolicy {
  // 1. Another kind of document is not a misspelt policy.
  refuseOtherKinds(document);
  // 2. The shape, by Istio's whole schema.
  const written = readDocument<PolicyDocument>(authorizationPolicySchema, document);
  const { metadata } = written;
  const spec = written.spec ?? {};
  const action = spec.action ?? 'ALLOW';
  // 3. What the schema allows and Istio refuses: all of it, so that it is mended in one go.
  const issues = new DocumentIssues(document);
  const target = readTarget(spec, issues);
  const isDryRun = readDryRun(metadata.annotations, action, issues);
  checkAction(spec, action, issues);
  const rules = (spec.rules ?? []).map((rule, index) => {
    const at = ['spec', 'rules', index];
    rule.from?.forEach(({ source }, i) => {
      checkSource(source, [...at, 'from', i, 'source'], issues);
    });
    rule.to?.forEach(({ operation }, i) => {
      checkOperation(operation, [...at, 'to', i, 'operation'], issues);
    });
    const when = (rule.when ?? []).map(({ key, values = [], notValues = [] }, i) => {
      const condition = { key, values, notValues };
      checkCondition(condition, [...at, 'when', i], issues);
      return condition;
    });
    if (action === 'CUSTOM') checkCustomRule(rule, at, issues);
    return {
      from: rule.from?.map(({ source }) => source),
      to: rule.to?.map(({ operation }) => operation),
      when,
      position: document.positionOf(at),
    };
  });
  issues.throwIfAny();
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    action,
    isDryRun,
    provider: action === 'CUSTOM' ? spec.provider?.name : undefined,
    target,
    rules,
    file: document.file,
    position: document.positionOf(['metadata', 'name']),
  };
}

function refuseOtherKinds(document: SourceDocument): void {
  const { value } = document;
  if (typeof value !== 'object' || value === null || !('kind' in value)) return;
  if (typeof value.kind !== 'string' || value.kind === 'AuthorizationPolicy') return;
  throw unsupported(document, ['kind'], `kind ${JSON.stringify(value.kind)} as a policy`);
}

const dryRunAnnotation = 'istio.io/dry-run';

function readDryRun(
  annotations: Readonly<Record<string, string>> | undefined,
  action: PolicyAction,
  issues: DocumentIssues,
): boolean {
  const written = annotations?.[dryRunAnnotation];
  if (written === undefined) return false;
  const path = ['metadata', 'annotations', dryRunAnnotation];
  if (action !== 'ALLOW' && action !== 'DENY') {
    issues.add(path, `"${dryRunAnnotation}" is for ALLOW and DENY, found with ${action}`);
  }
  // Go's strconv.ParseBool.
  if (/^(?:1|t|T|TRUE|true|True)$/.test(written)) return true;
  if (!/^(?:0|f|F|FALSE|false|False)$/.test(written)) {
    issues.add(path, `"${dryRunAnnotation}" is "true" or "false", found ${quoted(written)}`);
  }
  return false;
}

function checkAction(
  spec: NonNullable<PolicyDocument['spec']>,
  action: PolicyAction,
  issues: DocumentIssues,
): void {
  const hasRules = (spec.rules ?? []).length > 0;
  if (action === 'DENY' && !hasRules) {
    const message = 'a DENY policy without rules denies nothing; to deny everything, write "- {}"';
    issues.add(['spec'], message);
  }
  if (action === 'CUSTOM' && !hasRules) {
    issues.add(['spec'], 'a CUSTOM policy without rules asks nobody; to ask always, write "- {}"');
  }
  if (action === 'CUSTOM' && (spec.provider?.name ?? '') === '') {
    issues.add(['spec'], 'a CUSTOM policy needs "provider.name"');
  }
  if (action !== 'CUSTOM' && spec.provider !== undefined) {
    issues.add(['spec', 'provider'], `"provider" is for CUSTOM, found with ${action}`);
  }
}

function checkSource(source: FieldValues, path: ConfigPath, issues: DocumentIssues): void {
  if (!Object.values(source).some((values) => (values ?? []).length > 0)) {
    issues.add(path, 'an empty source, expected at least one key such as "principals"');
  }
  const has = (...keys: string[]) => keys.some((key) => (source[key] ?? []).length > 0);
  if (
    has('serviceAccounts', 'notServiceAccounts') &&
    has('principals', 'notPrincipals', 'namespaces', 'notNamespaces')
  ) {
    issues.add(path, '"serviceAccounts" cannot stand with "principals" or "namespaces"');
  }
  checkValues(source, path, sourceChecks, issues);
}

function checkOperation(operation: FieldValues, path: ConfigPath, issues: DocumentIssues): void {
  if (!Object.values(operation).some((values) => (values ?? []).length > 0)) {
    issues.add(path, 'an empty operation, expected at least one key such as "paths"');
  }
  checkValues(operation, path, operationChecks, issues);
}

function checkCondition(condition: Condition, path: ConfigPath, issues: DocumentIssues): void {
  const { key, values, notValues } = condition;
  const field = conditionField(key);
  // Istio takes a key that begins right and drops it when Envoy is told: it drops an ALLOW rule, and widens a DENY.
  const isHeaderLike = /^(?:request\.headers|request\.auth\.claims).*\[.+\]$/s.test(key);
  if (typeof field === 'string' && !isHeaderLike) {
    issues.add(
      [...path, 'key'],
      `${quoted(key)} ${field}, known are ${conditionKeys().join(', ')}`,
    );
  }
  if (values.length === 0 && notValues.length === 0) {
    issues.add(path, 'a condition without "values" and "notValues"');
  }
  const check = conditionChecks[key] ?? none;
  checkValues({ values, notValues }, path, { values: check, notValues: check }, issues);
}

function checkValues(
  written: FieldValues,
  path: ConfigPath,
  checks: Readonly<Record<string, Check>>,
  issues: DocumentIssues,
): void {
  for (const [key, values = []] of Object.entries(written)) {
    for (const [index, value] of values.entries()) {
      const wrong = value === '' ? 'is empty' : (checks[key] ?? none)(value);
      if (wrong !== undefined)
        issues.add([...path, key, index], `${key}: ${quoted(value)} ${wrong}`);
    }
    if (/erviceAccounts?$/.test(key) && values.length > 16) {
      issues.add([...path, key], `${key}: ${values.length} values, at most 16 are taken`);
    }
  }
}

/** What is wrong with a value, as the end of a sentence. */
type Check = (value: string) => string | undefined;

const none: Check = () => undefined;

const wrongWithBlock: Check = (value) => {
  const block = parseIpBlock(value);
  return typeof block === 'string' ? block : undefined;
};

const wrongWithPort: Check = (value) =>
  /^\d{1,10}$/.test(value) && Number(value) <= 65_535
    ? undefined
    : 'is no port, expected 0 to 65535';

const wrongWithStars: Check = (value) => {
  const stars = value.split('*').length - 1;
  if (stars > 1) return 'has more than one "*"';
  const isAtAnEnd = value.startsWith('*') || value.endsWith('*');
  return stars === 1 && !isAtAnEnd ? 'has a "*" that is neither first nor last' : undefined;
};

const wrongWithTrustDomain: Check = (value) =>
  wrongWithStars(value) ??
  (value.includes('/') ? 'has a "/", which no trust domain has' : undefined);

const wrongWithAccount: Check = (value) => {
  if (value.includes('*')) return 'has a "*", a service account is named whole';
  if (value.length > 320) return 'is longer than 320 characters';
  const parts = value.split('/');
  const isRight = parts.length <= 2 && parts.every((part) => part !== '');
  return isRight ? undefined : 'is neither "account" nor "namespace/account"';
};

function both(key: string, check: Check): [string, Check][] {
  return [
    [key, check],
    [`not${key.charAt(0).toUpperCase()}${key.slice(1)}`, check],
  ];
}

const sourceChecks = Object.fromEntries([
  ...both('ipBlocks', wrongWithBlock),
  ...both('remoteIpBlocks', wrongWithBlock),
  ...both('serviceAccounts', wrongWithAccount),
  ...both('trustDomains', wrongWithTrustDomain),
]);

const operationChecks = Object.fromEntries([
  ...both('ports', wrongWithPort),
  ...both('paths', wrongWithPath),
]);

const conditionChecks: Readonly<Record<string, Check>> = {
  'source.ip': wrongWithBlock,
  'remote.ip': wrongWithBlock,
  'destination.ip': wrongWithBlock,
  'destination.port': wrongWithPort,
  'source.trustDomain': wrongWithStars,
  'source.serviceAccount': wrongWithAccount,
};

type WrittenRule = NonNullable<NonNullable<PolicyDocument['spec']>['rules']>[number];

/** Istio asks providers before it knows tokens, and does not ask about identities. */
function checkCustomRule(rule: WrittenRule, at: ConfigPath, issues: DocumentIssues): void {
  for (const [index, { source }] of (rule.from ?? []).entries()) {
    for (const [key, values] of Object.entries(source)) {
      if (values === undefined || values.length === 0 || /pBlocks$/.test(key)) continue;
      issues.add([...at, 'from', index, 'source', key], `"${key}" cannot stand in a CUSTOM policy`);
    }
  }
  for (const [index, { key }] of (rule.when ?? []).entries()) {
    if (
      !/^source\.(?:namespace|serviceAccount|trustDomain|principal)$|^request\.auth\./.test(key)
    ) {
      continue;
    }
    issues.add([...at, 'when', index, 'key'], `"${key}" cannot stand in a CUSTOM policy`);
  }
}
