import { fileURLToPath } from 'node:url';

/** Where the protobuf definitions of other people's protocols are: for whoever serves or calls them over gRPC. */
export const protoFiles = {
  /** The SPIFFE Workload API. */
  workload: fileURLToPath(new URL('../proto/workload.proto', import.meta.url)),
  /** Envoy's discovery protocol and its secrets, as far as SDS needs them. */
  sds: fileURLToPath(new URL('../proto/sds.proto', import.meta.url)),
  /** Envoy's external authorization. */
  extAuthz: fileURLToPath(new URL('../proto/ext-authz.proto', import.meta.url)),
} as const;
