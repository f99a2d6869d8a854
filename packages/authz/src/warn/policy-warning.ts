import type { Position } from '@countersign/config';
import type { AuthorizationPolicy } from '../policy/authorization-policy.ts';
import type { IstioPolicies } from '../policy/istio-policies.ts';
import type { MeshSettings } from '../policy/mesh-settings.ts';
import type { TableRequest, TableWorkload } from '../trial/authz-table.ts';
import { TableTrial } from '../trial/try-table.ts';

/** What a policy says and does not mean, or means and does not say. */
export interface PolicyWarning {
  readonly code: WarningCode;
  /** `finding`: mend it. `note`: it may be what was meant. */
  readonly weight: 'finding' | 'note';
  readonly message: string;
  readonly file: string;
  readonly position: Position;
  /** The request that shows it, and what becomes of it; it was tried. */
  readonly example: WarningExample | undefined;
}

export type WarningCode =
  | 'ERR_AUTHZ_LETS_STRANGERS_IN'
  | 'ERR_AUTHZ_MEANT_AS_DENY'
  | 'ERR_AUTHZ_MATCHES_NOBODY'
  | 'ERR_AUTHZ_NEVER_MATCHES'
  | 'ERR_AUTHZ_EVADED'
  | 'ERR_AUTHZ_SHADOWED'
  | 'ERR_AUTHZ_TCP_FIELD'
  | 'ERR_AUTHZ_GOVERNS_NOTHING';

export interface WarningExample {
  readonly workload: TableWorkload;
  readonly request: TableRequest;
  readonly got: 'ALLOW' | 'DENY';
}

/** What warnings are looked for in. */
export interface WarningScene {
  readonly policies: IstioPolicies;
  readonly mesh: MeshSettings;
  /** All that there are; undefined: nobody said. */
  readonly workloads: readonly TableWorkload[] | undefined;
  readonly trial: TableTrial;
}

export function sceneOf(
  policies: IstioPolicies,
  mesh: MeshSettings,
  workloads: readonly TableWorkload[] | undefined,
): WarningScene {
  return { policies, mesh, workloads, trial: new TableTrial(policies, mesh) };
}

/** A case of its own for one policy: what it does where no other policy speaks. */
export function alone(scene: WarningScene, policy: AuthorizationPolicy): WarningScene {
  return sceneOf({ ...scene.policies, authorization: [policy] }, scene.mesh, scene.workloads);
}

export function tried(
  scene: WarningScene,
  workload: TableWorkload,
  request: TableRequest,
): WarningExample {
  const { got } = scene.trial.try({ workload, request });
  return { workload, request, got };
}

/** Such as `GET "/admin;x" by a plaintext caller`. */
export function formatRequest(request: TableRequest): string {
  const { method, path, host, port, principal, sourceIp, headers, jwt, sni } = request;
  const what =
    method === undefined
      ? `a raw TCP connection${port === undefined ? '' : ` to port ${port}`}`
      : `${method} ${JSON.stringify(path ?? '/')}`;
  const parts = [
    what,
    host === undefined ? '' : `of host ${JSON.stringify(host)}`,
    method === undefined || port === undefined ? '' : `on port ${port}`,
    sourceIp === undefined ? '' : `from ${sourceIp}`,
    sni === undefined ? '' : `with the TLS name ${JSON.stringify(sni)}`,
    ...headerTexts(headers),
    jwt === undefined ? '' : `with the claims ${JSON.stringify(jwt)}`,
    principal === undefined ? 'by a plaintext caller' : `by ${JSON.stringify(principal)}`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function headerTexts(headers: readonly string[]): string[] {
  const texts: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    texts.push(`with ${JSON.stringify(`${headers[i]}: ${headers[i + 1]}`)}`);
  }
  return texts;
}
