import type { DocumentIssues } from './istio-metadata.ts';

/** What a policy says about the workloads that it is for. */
export interface PolicyTarget {
  /** Labels that a workload must have; undefined: every workload. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** Resources that it is attached to; empty: `labels` decide. */
  readonly refs: readonly TargetRef[];
}

export interface TargetRef {
  /** `core` for Kubernetes' own. */
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

/** A workload, as policies select it. */
export interface Workload {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface WrittenTarget {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> | undefined };
  readonly targetRef?: WrittenRef | undefined;
  readonly targetRefs?: readonly WrittenRef[] | undefined;
}

interface WrittenRef {
  readonly group?: string | undefined;
  readonly kind: string;
  readonly name: string;
}

/** The label by which a workload says that it is an instance of a Kubernetes Gateway. */
export const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';

/** What a policy can be attached to, group and kind. */
const targetKinds: readonly (readonly [group: string, kind: string])[] = [
  ['gateway.networking.k8s.io', 'Gateway'],
  ['gateway.networking.k8s.io', 'GatewayClass'],
  ['core', 'Service'],
  ['networking.istio.io', 'ServiceEntry'],
];

export function readTarget(
  spec: {
    readonly selector?: WrittenTarget['selector'] | undefined;
    readonly targetRef?: WrittenRef | undefined;
    readonly targetRefs?: readonly WrittenRef[] | undefined;
  },
  issues: DocumentIssues,
): PolicyTarget {
  const { selector, targetRef, targetRefs = [] } = spec;
  const ways = [selector !== undefined, targetRef !== undefined, targetRefs.length > 0];
  if (ways.filter(Boolean).length > 1) {
    issues.add(['spec'], 'only one of "selector", "targetRef" and "targetRefs" can be set');
  }
  const refs = (
    targetRefs.length > 0 ? targetRefs : targetRef === undefined ? [] : [targetRef]
  ).map(({ group = '', kind, name }) => ({ group: group === '' ? 'core' : group, kind, name }));
  for (const [index, { group, kind }] of refs.entries()) {
    if (targetKinds.some(([g, k]) => g === group && k === kind)) continue;
    const known = targetKinds.map(([g, k]) => `${g}/${k}`).join(', ');
    const path = targetRef === undefined ? ['spec', 'targetRefs', index] : ['spec', 'targetRef'];
    issues.add(path, `a policy is attached to one of ${known}, found ${group}/${kind}`);
  }
  const labels = selector?.matchLabels ?? {};
  return { labels: Object.keys(labels).length === 0 ? undefined : labels, refs };
}

/**
 * Whether a policy is for a workload, as Istio attaches authorization and request authentication policies: in the
 * workload's own namespace and the root namespace; instances of a Kubernetes Gateway by `targetRefs`, all else by
 * labels. Services and service entries are targets in waypoints alone.
 */
export function isFor(
  target: PolicyTarget,
  policyNamespace: string,
  workload: Workload,
  rootNamespace: string,
): boolean {
  const isNear = policyNamespace === workload.namespace || policyNamespace === rootNamespace;
  if (!isNear) return false;
  const gateway = workload.labels[gatewayNameLabel];
  if (target.refs.length === 0) return hasLabels(workload, target.labels);
  if (gateway === undefined || policyNamespace !== workload.namespace) return false;
  return target.refs.some(
    ({ group, kind, name }) =>
      group === 'gateway.networking.k8s.io' && kind === 'Gateway' && name === gateway,
  );
}

export function hasLabels(
  workload: Workload,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(labels ?? {}).every(([name, value]) => workload.labels[name] === value);
}
