import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { only, socketAddress, typed } from './envoy-document.ts';
import { upstreamTls } from './envoy-tls-schema.ts';

/** Larger ones take seconds to make here. */
const ringSize = z.coerce.number().int().min(1).max(65_536).optional();

const lbEndpoint = z.strictObject({
  endpoint: z.strictObject({ address: socketAddress, hostname: z.string().optional() }),
  load_balancing_weight: z.int().min(1).optional(),
});

/** Of `static_resources.clusters`. */
export const cluster = z.strictObject({
  name: z.string().min(1),
  alt_stat_name: z.string().optional(),
  type: z.enum(['STATIC', 'STRICT_DNS', 'LOGICAL_DNS']).default('STATIC'),
  connect_timeout: durationSchema().default(5000),
  lb_policy: z.enum(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM', 'RING_HASH']).default('ROUND_ROBIN'),
  ring_hash_lb_config: z
    .strictObject({
      minimum_ring_size: ringSize,
      maximum_ring_size: ringSize,
      hash_function: only('XX_HASH'),
    })
    .optional(),
  dns_lookup_family: z.enum(['AUTO', 'V4_ONLY', 'V6_ONLY', 'V4_PREFERRED', 'ALL']).optional(),
  dns_refresh_rate: durationSchema().default(5000),
  load_assignment: z.strictObject({
    cluster_name: z.string().optional(),
    endpoints: z
      .array(
        z.strictObject({
          lb_endpoints: z.array(lbEndpoint).default([]),
          locality: z.unknown().optional(),
        }),
      )
      .default([]),
  }),
  transport_socket: upstreamTls.optional(),
  typed_extension_protocol_options: z
    .strictObject({
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          explicit_http_config: z
            .strictObject({
              http_protocol_options: z.strictObject({}).optional(),
              http2_protocol_options: z.strictObject({}).optional(),
            })
            .optional(),
          auto_config: z
            .strictObject({
              http_protocol_options: z.strictObject({}).optional(),
              http2_protocol_options: z.strictObject({}).optional(),
            })
            .optional(),
        },
      ).optional(),
    })
    .optional(),
  http2_protocol_options: z.strictObject({}).optional(),
  circuit_breakers: z
    .strictObject({
      thresholds: z
        .array(
          z.strictObject({
            priority: only('DEFAULT'),
            max_connections: z.int().min(1).optional(),
            max_requests: z.int().min(1).optional(),
            max_retries: z.int().min(0).optional(),
            retry_budget: z
              .strictObject({
                budget_percent: z.strictObject({ value: z.number().min(0).max(100) }).optional(),
                min_retry_concurrency: z.int().min(0).optional(),
              })
              .optional(),
          }),
        )
        .max(1)
        .optional(),
    })
    .optional(),
});
export type WrittenCluster = z.output<typeof cluster>;
