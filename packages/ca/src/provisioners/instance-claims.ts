import type { JwtClaims } from '@countersign/spiffe';
import { textOf } from './claim-text.ts';

/** What a token says of the virtual machine that holds it, or of whatever else it was made for, under plain names. */
export interface InstanceFacts {
  readonly claims: JwtClaims;
  readonly what: 'machine' | 'identity' | 'resource';
  /** Which one it is, for ever. */
  readonly instance: string;
  /** The same, for rules and people. */
  readonly subject: string;
  /** When it was made, in milliseconds since the epoch, where that is told. */
  readonly madeAt: number | undefined;
}

/** Of a Google identity token in its full form: what `google.compute_engine` holds beside the rest. */
export function gcpFacts(claims: JwtClaims): InstanceFacts | string {
  const engine = objectOf(objectOf(claims.google)?.compute_engine);
  const instance = textOf(engine?.instance_id);
  if (engine === undefined || instance === undefined) {
    return 'it says no "google.compute_engine": ask for it with format=full';
  }
  const made = Number(engine.instance_creation_timestamp);
  const project = textOf(engine.project_id) ?? '';
  return {
    claims: { ...claims, ...engine },
    what: 'machine',
    instance: `${project}/${instance}`,
    subject: `${project}/${instance}`,
    madeAt: Number.isFinite(made) && made > 0 ? made * 1000 : undefined,
  };
}

/** What a resource of Azure is, by its type in lower case; a scale set is none of its machines. */
const kinds: Readonly<Record<string, InstanceFacts['what']>> = {
  'microsoft.compute/virtualmachines': 'machine',
  'microsoft.managedidentity/userassignedidentities': 'identity',
};

const resource =
  /^\/subscriptions\/([^/]+)\/resourcegroups\/([^/]+)\/providers\/([^/]+\/[^/]+)\/([^/]+)$/i;

/**
 * Of a managed identity's token: the parts of the resource that it belongs to. One that users assign is a resource itself,
 * and says nothing of the machines that have it.
 */
export function azureFacts(claims: JwtClaims): InstanceFacts | string {
  const id = textOf(claims.xms_mirid) ?? '';
  const [, subscriptionId, resourceGroup, resourceType, name] = resource.exec(id) ?? [];
  if (subscriptionId === undefined) {
    return `its "xms_mirid" is "${id.slice(0, 200)}", no resource of a subscription`;
  }
  return {
    claims: { ...claims, subscriptionId, resourceGroup, resourceType, name },
    what: kinds[resourceType?.toLowerCase() ?? ''] ?? 'resource',
    instance: id.toLowerCase(),
    subject: `${subscriptionId}/${resourceGroup}/${name}`,
    madeAt: undefined,
  };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}
