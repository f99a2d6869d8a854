import type { AuthorizationPolicy } from '../policy/authorization-policy.ts';
import { hasLabels, isFor } from '../policy/policy-target.ts';
import { principalsField, serviceAccountsField } from '../rules/identity-fields.ts';
import type { RuleFacts } from '../rules/rule-facts.ts';
import { nameOf } from '../rules/rule-set.ts';
import type { TableRequest, TableWorkload } from '../trial/authz-table.ts';
import { formatRequest, type PolicyWarning, tried, type WarningScene } from './policy-warning.ts';
import { witnessOf, workloadOf } from './witness.ts';

/** Selectors and callers that are nobody of the known workloads; silent where nobody said which there are. */
export function workloadWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  const { workloads } = scene;
  if (workloads === undefined) return [];
  return [...unselected(scene, policy, workloads), ...unknownCallers(scene, policy, workloads)];
}

/** A PeerAuthentication that is for nobody: of the root namespace with a selector, or whose labels nobody has. */
export function peerWarnings(scene: WarningScene): readonly PolicyWarning[] {
  const { mesh, policies, workloads } = scene;
  return policies.peers.flatMap((peer): PolicyWarning[] => {
    const { name, namespace, labels, mode, file, position } = peer;
    if (labels === undefined) return [];
    const about = { file, position, weight: 'finding' as const };
    const title = `PeerAuthentication ${namespace}/${name}`;
    if (namespace === mesh.rootNamespace) {
      const workload = { ...anyWorkload, labels };
      const example = tried(scene, workload, plaintext);
      const verdict = example.got === 'ALLOW' ? 'allowed' : 'denied';
      const message = [
        `${title}: a selector in the root namespace governs nothing, not even ${mode} there:`,
        `${formatRequest(plaintext)} to a workload with these labels is ${verdict}`,
      ].join(' ');
      return [{ ...about, code: 'ERR_AUTHZ_GOVERNS_NOTHING', message, example }];
    }
    const isKnown = workloads?.some(
      (workload) => workload.namespace === namespace && hasLabels(workload, labels),
    );
    if (isKnown !== false) return [];
    const message = `${title}: no known workload of namespace "${namespace}" has the labels ${labelText(labels)}`;
    return [{ ...about, code: 'ERR_AUTHZ_MATCHES_NOBODY', message, example: undefined }];
  });
}

const anyWorkload: TableWorkload = {
  ...{ namespace: 'default', serviceAccount: 'default', labels: {}, ports: new Map() },
};
const plaintext: TableRequest = {
  ...{ principal: undefined, sourceIp: undefined, remoteIp: undefined, destinationIp: undefined },
  ...{ port: undefined, sni: undefined, host: undefined, method: 'GET', path: '/', headers: [] },
  jwt: undefined,
};

function unselected(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  workloads: readonly TableWorkload[],
): readonly PolicyWarning[] {
  const { target, namespace, file, position } = policy;
  const isForSome = workloads.some((workload) =>
    isFor(target, namespace, workload, scene.mesh.rootNamespace),
  );
  if (isForSome) return [];
  const what =
    target.refs.length > 0
      ? `is attached to ${target.refs.map(({ kind, name }) => `${kind} "${name}"`).join(', ')}`
      : target.labels === undefined
        ? `is for namespace "${namespace}"`
        : `selects ${labelText(target.labels)}`;
  const workload = workloadOf(policy, scene.mesh.rootNamespace);
  const [rule] = policy.rules;
  const request = rule === undefined ? plaintext : witnessOf(rule, scene.mesh.trustDomain);
  const message = `policy ${nameOf(policy)} ${what}, and no known workload is: ${formatRequest(request)} is not asked about by it anywhere`;
  const example = tried(scene, { ...workload, labels: {} }, request);
  return [
    { code: 'ERR_AUTHZ_MATCHES_NOBODY', weight: 'finding', message, file, position, example },
  ];
}

function unknownCallers(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  workloads: readonly TableWorkload[],
): readonly PolicyWarning[] {
  const { mesh } = scene;
  const callers = workloads.map(({ namespace, serviceAccount }): RuleFacts => {
    const uri = `spiffe://${mesh.trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
    return { ...noFacts, names: { uris: [uri], dnsNames: [], subject: '' } };
  });
  const context = {
    namespace: policy.namespace,
    trustDomains: [mesh.trustDomain, ...mesh.trustDomainAliases],
  };
  const fields = {
    principals: principalsField('principals'),
    serviceAccounts: serviceAccountsField('serviceAccounts'),
  };
  return policy.rules.flatMap((rule, index) =>
    (rule.from ?? []).flatMap((source) =>
      (['principals', 'serviceAccounts'] as const).flatMap((key) =>
        (source[key] ?? []).flatMap((value) => {
          const isCaller = fields[key].compile([value], context);
          if (callers.some(isCaller)) return [];
          const request = witnessOf({ ...rule, from: [{ [key]: [value] }] }, mesh.trustDomain);
          const warning: PolicyWarning = {
            code: 'ERR_AUTHZ_MATCHES_NOBODY',
            weight: 'finding',
            message: [
              `policy ${nameOf(policy)} rules[${index}]: ${key} ${JSON.stringify(value)}`,
              `is no known workload: ${formatRequest(request)} is what it is for, and nobody sends it`,
            ].join(' '),
            file: policy.file,
            position: rule.position,
            example: tried(scene, workloadOf(policy, mesh.rootNamespace), request),
          };
          return [warning];
        }),
      ),
    ),
  );
}

const noFacts: RuleFacts = {
  names: undefined,
  serverName: '',
  sourceIp: undefined,
  remoteIp: undefined,
  destinationIp: undefined,
  destinationPort: undefined,
  request: undefined,
  metadata: () => undefined,
};

function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}
