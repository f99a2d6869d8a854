import { type Position, readDocument, type SourceDocument } from '@countersign/config';
import { z } from 'zod';
import { metadataSchema } from './istio-metadata.ts';
import { gatewayNameLabel, hasLabels, type Workload } from './policy-target.ts';

/** What a Gateway document says about who gets to its listeners, and by which protocol: all that policies need of it. */
export interface IstioGateway {
  readonly name: string;
  readonly namespace: string;
  /** Labels of the workloads that it configures; undefined: those that are instances of it by name. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly servers: readonly GatewayServer[];
  readonly file: string;
  readonly position: Position;
}

export interface GatewayServer {
  readonly port: number;
  readonly protocol: 'http' | 'tcp';
  readonly tls: ServerTls;
  /** Without a namespace before them; `*` is every name. */
  readonly hosts: readonly string[];
}

/** Who shows a certificate: nobody, the server, also the client, or also the client if it likes. */
export type ServerTls =
  | 'none'
  | 'passthrough'
  | 'server'
  | 'mutual'
  | 'optional-mutual'
  | 'mesh-mutual';

const otherModes = ['AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'] as const;

const istioSchema = z.looseObject({
  apiVersion: z.string().startsWith('networking.istio.io/'),
  kind: z.literal('Gateway'),
  metadata: metadataSchema,
  spec: z.looseObject({
    selector: z.record(z.string(), z.string()).optional(),
    servers: z.array(
      z.looseObject({
        port: z.looseObject({
          number: z.int().min(1).max(65_535),
          protocol: z.string(),
          targetPort: z.int().optional(),
        }),
        hosts: z.array(z.string()).min(1),
        tls: z
          .looseObject({
            mode: z.enum(['PASSTHROUGH', 'SIMPLE', 'MUTUAL', ...otherModes]).optional(),
          })
          .optional(),
      }),
    ),
  }),
});

const kubernetesSchema = z.looseObject({
  apiVersion: z.string().startsWith('gateway.networking.k8s.io/'),
  kind: z.literal('Gateway'),
  metadata: metadataSchema,
  spec: z.looseObject({
    gatewayClassName: z.string().optional(),
    listeners: z.array(
      z.looseObject({
        name: z.string(),
        port: z.int().min(1).max(65_535),
        protocol: z.string(),
        hostname: z.string().optional(),
        tls: z
          .looseObject({
            mode: z.enum(['Terminate', 'Passthrough']).optional(),
            frontendValidation: z.unknown().optional(),
          })
          .optional(),
      }),
    ),
  }),
});

/** Whether a document is a Gateway, Istio's or Kubernetes'. */
export function isGatewayDocument(document: SourceDocument): boolean {
  const { value } = document;
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Gateway';
}

/**
 * Reads what policies need of a Gateway. Its routes and certificates are no matter of theirs, so that the rest of it is
 * not looked at here.
 *
 * @throws ConfigError
 */
export function readIstioGateway(document: SourceDocument): IstioGateway {
  const { apiVersion } = document.value as { readonly apiVersion?: unknown };
  const about = {
    file: document.file,
    position: document.positionOf(['metadata', 'name']),
  };
  if (String(apiVersion).startsWith('gateway.networking.k8s.io/')) {
    const { metadata, spec } = readDocument(kubernetesSchema, document);
    return {
      name: metadata.name,
      namespace: metadata.namespace ?? 'default',
      labels: undefined,
      servers: spec.listeners.map(({ port, protocol, hostname, tls }) => {
        const isPassthrough = tls?.mode === 'Passthrough';
        const isMutual = tls?.frontendValidation !== undefined;
        const isTls = /^(?:https|tls)$/i.test(protocol);
        return {
          port,
          protocol: protocolOf(protocol, isPassthrough),
          tls: isTls ? terminated(isPassthrough, isMutual) : 'none',
          hosts: [hostname ?? '*'],
        };
      }),
      ...about,
    };
  }
  const { metadata, spec } = readDocument(istioSchema, document);
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    labels: spec.selector ?? {},
    servers: spec.servers.map(({ port, hosts, tls }) => {
      const mode = tls === undefined ? undefined : (tls.mode ?? 'PASSTHROUGH');
      // A redirect to HTTPS is all that `tls` says on a plain port.
      const isPlain = mode === undefined || /^(?:http|http2|grpc|grpc-web)$/i.test(port.protocol);
      const kind = isPlain ? 'none' : tlsModes[mode];
      return {
        port: port.number,
        protocol: protocolOf(port.protocol, kind === 'passthrough'),
        tls: kind,
        hosts: hosts.map((host) => host.slice(host.indexOf('/') + 1)),
      };
    }),
    ...about,
  };
}

/** The Gateways that a workload is an instance of. */
export function gatewaysOf(gateways: readonly IstioGateway[], workload: Workload): IstioGateway[] {
  return gateways.filter(({ labels, name, namespace }) => {
    if (labels !== undefined) return hasLabels(workload, labels);
    return workload.labels[gatewayNameLabel] === name && workload.namespace === namespace;
  });
}

const tlsModes = {
  PASSTHROUGH: 'passthrough',
  AUTO_PASSTHROUGH: 'passthrough',
  SIMPLE: 'server',
  MUTUAL: 'mutual',
  OPTIONAL_MUTUAL: 'optional-mutual',
  ISTIO_MUTUAL: 'mesh-mutual',
} as const satisfies Readonly<Record<string, ServerTls>>;

function terminated(isPassthrough: boolean, isMutual: boolean): ServerTls {
  if (isPassthrough) return 'passthrough';
  return isMutual ? 'mutual' : 'server';
}

function protocolOf(protocol: string, isPassthrough: boolean): 'http' | 'tcp' {
  if (isPassthrough) return 'tcp';
  return /^(?:http|http2|https|grpc|grpc-web)$/i.test(protocol) ? 'http' : 'tcp';
}
