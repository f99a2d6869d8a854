import { type Position, readDocument, type SourceDocument } from '@countersign/config';
import { z } from 'zod';
import {
  DocumentIssues,
  metadataSchema,
  securityApiSchema,
  targetShape,
} from './istio-metadata.ts';
import { hasLabels, readTarget, type Workload } from './policy-target.ts';

/** Whether a workload's port takes TLS with a client certificate, anything, or plaintext alone. */
export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** One PeerAuthentication as it was written; `UNSET` inherits. */
export interface PeerAuthentication {
  readonly name: string;
  readonly namespace: string;
  /** Of the workload that it is for; undefined: of every one of the namespace, or of the mesh. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly mode: MtlsMode | 'UNSET';
  /** By the workload's own port; only with labels. */
  readonly ports: ReadonlyMap<number, MtlsMode | 'UNSET'>;
  /** Milliseconds since the epoch; 0 where it was not said. */
  readonly createdAt: number;
  readonly file: string;
  readonly position: Position;
}

const mtlsSchema = z.strictObject({
  mode: z.enum(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']).optional(),
});

const peerAuthenticationSchema = z.strictObject({
  apiVersion: securityApiSchema,
  kind: z.literal('PeerAuthentication'),
  metadata: metadataSchema,
  spec: z
    .strictObject({
      selector: targetShape.selector,
      mtls: mtlsSchema.optional(),
      portLevelMtls: z.record(z.string(), mtlsSchema).optional(),
    })
    .nullish(),
  status: z.unknown().optional(),
});

/** @throws ConfigError with every issue of the document */
export function readPeerAuthentication(document: SourceDocument): PeerAuthentication {
  const { metadata, spec } = readDocument(peerAuthenticationSchema, document);
  const issues = new DocumentIssues(document);
  const { labels } = readTarget({ selector: spec?.selector }, issues);
  const written = spec?.portLevelMtls;
  const at = ['spec', 'portLevelMtls'];
  if (written !== undefined && Object.keys(written).length === 0) {
    issues.add(at, 'an empty map, expected at least one port');
  }
  if (written !== undefined && labels === undefined) {
    issues.add(at, 'ports belong to a workload, so that "selector.matchLabels" is needed');
  }
  const ports = Object.entries(written ?? {}).map(([port, { mode = 'UNSET' }]) => {
    const isPort = /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535;
    if (!isPort) issues.add([...at, port], `port "${port}", expected 1 to 65535`);
    return [Number(port), mode] as const;
  });
  issues.throwIfAny();
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    labels,
    mode: spec?.mtls?.mode ?? 'UNSET',
    ports: new Map(ports),
    createdAt: timeOf(metadata.creationTimestamp),
    file: document.file,
    position: document.positionOf(['metadata', 'name']),
  };
}

export interface MtlsAnswer {
  readonly mode: MtlsMode;
  /** `namespace/name` of the policy that said so last; undefined: nobody did. */
  readonly by: string | undefined;
}

/**
 * What a workload's port takes: the mesh's word, its namespace's, its own and its port's, of which the nearest counts
 * and an unset one inherits; PERMISSIVE where nobody said anything. Of several for one place the oldest counts, then
 * the first by name. A selector in the root namespace governs nothing, as in Istio.
 */
export function mtlsOf(
  policies: readonly PeerAuthentication[],
  workload: Workload,
  port: number | undefined,
  rootNamespace: string,
): MtlsAnswer {
  const sorted = policies.toSorted(byAge);
  const mesh = sorted.find((each) => each.labels === undefined && each.namespace === rootNamespace);
  const namespace = sorted.find(
    (each) => each.labels === undefined && each.namespace === workload.namespace,
  );
  const own = sorted.find(
    (each) =>
      each.labels !== undefined &&
      each.namespace === workload.namespace &&
      each.namespace !== rootNamespace &&
      hasLabels(workload, each.labels),
  );
  let answer: MtlsAnswer = { mode: 'PERMISSIVE', by: undefined };
  for (const policy of [mesh, namespace, own]) {
    if (policy !== undefined && policy.mode !== 'UNSET') {
      answer = { mode: policy.mode, by: `${policy.namespace}/${policy.name}` };
    }
  }
  const ofPort = port === undefined ? undefined : own?.ports.get(port);
  if (own === undefined || ofPort === undefined || ofPort === 'UNSET') return answer;
  return { mode: ofPort, by: `${own.namespace}/${own.name}` };
}

function byAge(a: PeerAuthentication, b: PeerAuthentication): number {
  return a.createdAt - b.createdAt || compare(a.name, b.name) || compare(a.namespace, b.namespace);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function timeOf(written: string | null | undefined): number {
  const at = Date.parse(written ?? '');
  return Number.isNaN(at) ? 0 : at;
}
