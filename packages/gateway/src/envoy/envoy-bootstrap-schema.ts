import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { cluster } from './envoy-cluster-schema.ts';
import { only, socketAddress, typed } from './envoy-document.ts';
import { rateLimitFilter } from './envoy-rate-limit.ts';
import { rbacFilter } from './envoy-rbac.ts';
import { routeConfig } from './envoy-route-schema.ts';
import { downstreamTls } from './envoy-tls-schema.ts';

const http = 'envoy.extensions.filters.http';
const network = 'envoy.extensions.filters.network';
const loggers = 'envoy.extensions.access_loggers';

function endsWithRouter(
  filters: readonly { readonly typed_config: { readonly '@type': string } }[],
): boolean {
  const routers = filters.filter((each) => each.typed_config['@type'].endsWith('.Router'));
  return filters.length === 0 || (routers.length === 1 && filters.at(-1) === routers[0]);
}

const accessLog = z
  .array(
    z.strictObject({
      name: z.string().optional(),
      typed_config: z.discriminatedUnion('@type', [
        typed(`${loggers}.stream.v3.StdoutAccessLog`, {}),
        typed(`${loggers}.stream.v3.StderrAccessLog`, {}),
        typed(`${loggers}.file.v3.FileAccessLog`, { path: z.enum(['/dev/stdout', '/dev/stderr']) }),
      ]),
    }),
  )
  .optional();

const httpManager = typed(`${network}.http_connection_manager.v3.HttpConnectionManager`, {
  stat_prefix: z.string().optional(),
  codec_type: z.enum(['AUTO', 'HTTP1', 'HTTP2']).default('AUTO'),
  route_config: routeConfig,
  http_filters: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        typed_config: z.discriminatedUnion('@type', [
          typed(`${http}.router.v3.Router`, { suppress_envoy_headers: z.boolean().optional() }),
          rbacFilter,
          rateLimitFilter,
        ]),
      }),
    )
    .max(32)
    .refine(endsWithRouter, 'expected the router at the end, and nowhere else')
    .optional(),
  forward_client_cert_details: z
    .enum(['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'])
    .default('SANITIZE'),
  set_current_client_cert_details: z
    .strictObject({
      subject: z.boolean().default(false),
      cert: z.boolean().default(false),
      chain: z.boolean().default(false),
      dns: z.boolean().default(false),
      uri: z.boolean().default(false),
    })
    .optional(),
  use_remote_address: only(true),
  normalize_path: only(true),
  strip_any_host_port: z.boolean().optional(),
  path_with_escaped_slashes_action: only('IMPLEMENTATION_SPECIFIC_DEFAULT', 'KEEP_UNCHANGED'),
  access_log: accessLog,
  upgrade_configs: z
    .array(
      z.strictObject({
        upgrade_type: z.string().refine((type) => type.toLowerCase() === 'websocket', {
          error: ({ input }) =>
            `upgrade_type "${input}" is not done by this gateway, but for "websocket"`,
        }),
        enabled: z.boolean().optional(),
      }),
    )
    .max(1, 'expected one of each type')
    .optional(),
  common_http_protocol_options: z
    .strictObject({ idle_timeout: durationSchema().optional() })
    .optional(),
  stream_idle_timeout: durationSchema().optional(),
  request_timeout: durationSchema().optional(),
  request_headers_timeout: durationSchema().optional(),
  max_request_headers_kb: z.int().min(1).max(1024).optional(),
  http2_protocol_options: z
    .strictObject({ max_concurrent_streams: z.int().min(1).max(10_000).optional() })
    .optional(),
});
export type HttpManager = z.output<typeof httpManager>;

const tcpProxy = typed(`${network}.tcp_proxy.v3.TcpProxy`, {
  stat_prefix: z.string().optional(),
  cluster: z.string().min(1),
  idle_timeout: durationSchema().optional(),
});

/** As Envoy takes them: whole, or with a star for the first label. */
const serverName = z
  .string()
  .regex(/^(?:\*\.)?[^*]+$/, 'expected a name or "*.example.com"; a chain without names takes all');

const filterChain = z.strictObject({
  name: z.string().min(1).optional(),
  filter_chain_match: z
    .strictObject({
      server_names: z.array(serverName).optional(),
      transport_protocol: z.enum(['tls', 'raw_buffer']).optional(),
    })
    .optional(),
  filters: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        typed_config: z.discriminatedUnion('@type', [httpManager, tcpProxy]),
      }),
    )
    .length(1, 'expected one filter, of HTTP or TCP'),
  transport_socket: downstreamTls.optional(),
});
export type FilterChain = z.output<typeof filterChain>;

const listener = z.strictObject({
  name: z.string().min(1).optional(),
  address: socketAddress,
  filter_chains: z.array(filterChain).min(1).max(64),
  /** Looked for by itself wherever there is TLS. */
  listener_filters: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        typed_config: typed('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
      }),
    )
    .optional(),
  stat_prefix: z.string().optional(),
  traffic_direction: z.enum(['UNSPECIFIED', 'INBOUND', 'OUTBOUND']).optional(),
});
export type WrittenListener = z.output<typeof listener>;

/** Who Envoy is to its control plane: there is none here. */
const node = z
  .strictObject({
    id: z.string().optional(),
    cluster: z.string().optional(),
    locality: z.unknown().optional(),
    metadata: z.unknown().optional(),
  })
  .optional();

export const bootstrapSchema = z.strictObject({
  static_resources: z.strictObject({
    listeners: z.array(listener).min(1).max(64),
    clusters: z.array(cluster).default([]),
  }),
  admin: z.strictObject({ address: socketAddress, access_log_path: only('/dev/null') }).optional(),
  node,
});
export type Bootstrap = z.output<typeof bootstrapSchema>;
