import type { ExternalAuthorizer } from '@countersign/authz';
import type { ProviderConfig } from '../provider-config.ts';
import type { ClusterSurroundings } from '../upstream/cluster.ts';
import { GrpcAuthorizer } from './grpc-authorizer.ts';
import { HttpAuthorizer } from './http-authorizer.ts';

/** Those of a configuration, by name; their owner destroys them. */
export function openAuthorizers(
  providers: readonly ProviderConfig[],
  around: ClusterSurroundings,
): ReadonlyMap<string, ExternalAuthorizer & { destroy(): Promise<void> }> {
  return new Map(
    providers.map((provider) => [provider.name, new kinds[provider.protocol](provider, around)]),
  );
}

const kinds = { http: HttpAuthorizer, grpc: GrpcAuthorizer } as const;
