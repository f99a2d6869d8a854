import type { AuthorizationPolicy } from '../policy/authorization-policy.ts';
import type { IstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import type { TableWorkload } from '../trial/authz-table.ts';
import { evasionWarnings } from './evasion-warnings.ts';
import { openRuleWarnings } from './open-rule-warnings.ts';
import { type PolicyWarning, sceneOf, type WarningScene } from './policy-warning.ts';
import { shadowWarnings } from './shadow-warnings.ts';
import { tcpWarnings } from './tcp-warnings.ts';
import { valueWarnings } from './value-warnings.ts';
import { peerWarnings, workloadWarnings } from './workload-warnings.ts';

/**
 * What policies say and do not mean, each with a request that shows it and was tried. Istio takes all of them.
 *
 * @param workloads all that there are, so that selectors and callers who are nobody are told; undefined: nobody said
 * @throws CountersignError ERR_AUTHZ_TWICE
 */
export function warnAboutPolicies(
  policies: IstioPolicies,
  mesh: MeshSettings = defaultMesh,
  workloads?: readonly TableWorkload[],
): readonly PolicyWarning[] {
  const scene = sceneOf(policies, mesh, workloads);
  const about = policies.authorization.flatMap((policy) => warnAboutPolicy(scene, policy));
  return [...about, ...peerWarnings(scene)].toSorted(byPlace);
}

const questions: readonly ((
  scene: WarningScene,
  policy: AuthorizationPolicy,
) => readonly PolicyWarning[])[] = [
  openRuleWarnings,
  valueWarnings,
  evasionWarnings,
  shadowWarnings,
  tcpWarnings,
  workloadWarnings,
];

function warnAboutPolicy(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  return questions.flatMap((ask) => ask(scene, policy));
}

function byPlace(a: PolicyWarning, b: PolicyWarning): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.position.line - b.position.line || a.position.column - b.position.column;
}
