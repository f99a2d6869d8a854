import { durationSchema, readDocument, type SourceDocument } from '@countersign/config';
import { z } from 'zod';

/** A document of Istio's networking API that was read, and where it stands. */
export interface IstioDocument<T> {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: T;
  readonly source: SourceDocument;
}

const noted = z.unknown().optional();

/** What a cluster adds is taken, so that `kubectl get -o yaml` can be pasted. */
const metadataSchema = z.strictObject({
  name: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  ...{ creationTimestamp: noted, generateName: noted, uid: noted, resourceVersion: noted },
  ...{ generation: noted, managedFields: noted, ownerReferences: noted, finalizers: noted },
  selfLink: noted,
});

const apiSchema = z.enum([
  'networking.istio.io/v1',
  'networking.istio.io/v1beta1',
  'networking.istio.io/v1alpha3',
]);

/** @throws ConfigError with every issue of the document */
export function readIstioDocument<T>(
  kind: string,
  spec: z.ZodType<T>,
  source: SourceDocument,
): IstioDocument<T> {
  const schema = z.strictObject({
    apiVersion: apiSchema,
    kind: z.literal(kind),
    metadata: metadataSchema,
    spec,
    /** Written by the cluster. */
    status: noted,
  });
  const { metadata, spec: read } = readDocument(schema as never, source) as {
    readonly metadata: z.output<typeof metadataSchema>;
    readonly spec: T;
  };
  const { name, namespace = 'default', labels = {} } = metadata;
  return { name, namespace, labels, spec: read, source };
}

/** Fields that Istio has and that are not done here: whoever writes one is told so. */
export function undone<const K extends string>(...keys: readonly K[]) {
  const never = (key: string) =>
    z
      .custom<undefined>(
        (value) => value === undefined,
        `is not done by this gateway${insteadOf[key] === undefined ? '' : `, ${insteadOf[key]}`}`,
      )
      .optional();
  return Object.fromEntries(keys.map((key) => [key, never(key)])) as Record<
    K,
    ReturnType<typeof never>
  >;
}

/** What to write instead of a field that is not done. */
const insteadOf: Readonly<Record<string, string>> = {
  credentialName: 'name its files (serverCertificate, privateKey, caCertificates) instead',
  credentialNames: 'name their files, a server for each, instead',
  delegate: 'write its routes here instead',
  tls: 'have TLS ended here by a Gateway, or pass it on by a listener of protocol tcp',
  maglev: 'use ringHash instead',
  sourceLabels: 'write an AuthorizationPolicy instead',
  sourceNamespace: 'write an AuthorizationPolicy instead',
};

export const istioDuration = durationSchema;

/** Who may see it: namespaces, `.` is its own, `*` all. */
export const exportToSchema = z.array(z.string().min(1)).optional();

export function isVisibleIn(
  exportTo: readonly string[] | undefined,
  own: string,
  namespace: string,
): boolean {
  if (exportTo === undefined || exportTo.length === 0) return true;
  return exportTo.some(
    (each) => each === '*' || each === namespace || (each === '.' && own === namespace),
  );
}

/** A short name is one of the namespace of who writes it. */
export function fullHost(host: string, namespace: string): string {
  const plain = host.toLowerCase();
  if (plain.includes('.') || plain === '*') return plain;
  return `${plain}.${namespace}.svc.cluster.local`;
}
