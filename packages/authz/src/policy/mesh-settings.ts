import { parseConfigText, readDocument } from '@countersign/config';
import { z } from 'zod';

/** What of Istio's MeshConfig decides who may do what. */
export interface MeshSettings {
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  /** Its policies are for every namespace. */
  readonly rootNamespace: string;
  readonly pathNormalization: PathNormalization;
  /** Proxies in front of gateways whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: number;
  /** Providers of CUSTOM policies by name. */
  readonly providers: ReadonlyMap<string, ProviderKind>;
}

export type PathNormalization = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** `http` providers judge requests alone; `grpc` ones connections as well. */
export type ProviderKind = 'http' | 'grpc';

/** Istio's own defaults. */
export const defaultMesh: MeshSettings = {
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  rootNamespace: 'istio-system',
  pathNormalization: 'BASE',
  trustedProxies: 0,
  providers: new Map(),
};

/** The keys of MeshConfig that decide about policies. */
export const meshSchema = z.strictObject({
  trustDomain: z.string().optional(),
  trustDomainAliases: z.array(z.string()).optional(),
  rootNamespace: z.string().optional(),
  pathNormalization: z
    .strictObject({
      normalization: z
        .enum(['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'])
        .optional(),
    })
    .optional(),
  defaultConfig: z
    .strictObject({
      gatewayTopology: z
        .strictObject({
          numTrustedProxies: z.int().min(0).max(255).optional(),
          /** Both say how headers are written, and nothing about what is allowed. */
          forwardClientCertDetails: z.string().optional(),
          proxyProtocol: z.strictObject({}).optional(),
        })
        .optional(),
    })
    .optional(),
  extensionProviders: z
    .array(
      z.looseObject({
        name: z.string().min(1),
        envoyExtAuthzHttp: z.unknown().optional(),
        envoyExtAuthzGrpc: z.unknown().optional(),
      }),
    )
    .optional(),
});

/**
 * MeshConfig, as `istio-system/istio` has it under `mesh`: the keys that decide about policies, at top level. An empty
 * file or `{}` has Istio's defaults.
 *
 * @throws ConfigError
 */
export function parseMeshSettings(text: string, file: string): MeshSettings {
  return meshSettingsOf(readDocument(meshSchema, parseConfigText(text, file)));
}

/** @param trustDomain where none is written */
export function meshSettingsOf(
  written: z.output<typeof meshSchema>,
  trustDomain = defaultMesh.trustDomain,
): MeshSettings {
  const normalization = written.pathNormalization?.normalization ?? 'DEFAULT';
  return {
    trustDomain: nonEmpty(written.trustDomain) ?? trustDomain,
    trustDomainAliases: written.trustDomainAliases ?? [],
    rootNamespace: nonEmpty(written.rootNamespace) ?? defaultMesh.rootNamespace,
    pathNormalization: normalization === 'DEFAULT' ? 'BASE' : normalization,
    trustedProxies: written.defaultConfig?.gatewayTopology?.numTrustedProxies ?? 0,
    providers: new Map(
      (written.extensionProviders ?? []).map((provider) => [
        provider.name,
        provider.envoyExtAuthzGrpc === undefined ? 'http' : 'grpc',
      ]),
    ),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
