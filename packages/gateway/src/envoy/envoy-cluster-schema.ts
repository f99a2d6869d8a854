import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { only, socketAddress, typed } from './envoy-document.ts';
import { upstreamTls } from './envoy-tls-schema.ts';

/** Larger ones take seconds to make here. */
const ringSize = z.coerce.number().int().min(1).max(65_536).optional();

const wholeOrNone = z
  .custom<0 | 100>(
    (value) => value === 0 || value === 100,
    'is not done by this gateway, but for 0 or 100',
  )
  .optional();
const count = z.int().min(0).optional();

const outlierDetection = z.strictObject({
  consecutive_5xx: count,
  enforcing_consecutive_5xx: wholeOrNone,
  consecutive_gateway_failure: count,
  enforcing_consecutive_gateway_failure: wholeOrNone,
  split_external_local_origin_errors: z.boolean().optional(),
  consecutive_local_origin_failure: count,
  enforcing_consecutive_local_origin_failure: wholeOrNone,
  interval: durationSchema().default(10_000),
  base_ejection_time: durationSchema().default(30_000),
  max_ejection_time: durationSchema().default(300_000),
  max_ejection_time_jitter: only('0s'),
  max_ejection_percent: z.int().min(0).max(100).default(10),
  always_eject_one_host: z.boolean().default(false),
  enforcing_success_rate: wholeOrNone,
  success_rate_minimum_hosts: z.int().min(0).default(5),
  success_rate_request_volume: z.int().min(0).default(100),
  success_rate_stdev_factor: z.int().min(0).default(1900),
  enforcing_local_origin_success_rate: only(0),
  enforcing_failure_percentage: only(0),
  enforcing_failure_percentage_local_origin: only(0),
  successful_active_health_check_uneject_host: only(true),
});
export type WrittenOutliers = z.output<typeof outlierDetection>;

/** `text` is hexadecimal, `binary` base64. */
const payload = z
  .strictObject({
    text: z
      .string()
      .regex(/^(?:[0-9a-fA-F]{2})+$/, 'expected bytes in hexadecimal')
      .optional(),
    binary: z.base64().optional(),
  })
  .refine((each) => Object.keys(each).length === 1, 'expected one of text and binary');
export type WrittenPayload = z.output<typeof payload>;

const statusRange = z.strictObject({
  start: z.coerce.number().int().min(100),
  end: z.coerce.number().int().max(600),
});

const healthKinds = ['http_health_check', 'tcp_health_check', 'grpc_health_check'] as const;
const healthCheck = z
  .strictObject({
    timeout: durationSchema(),
    interval: durationSchema(),
    initial_jitter: durationSchema().default(0),
    interval_jitter: durationSchema().default(0),
    unhealthy_threshold: z.int().min(1),
    healthy_threshold: z.int().min(1),
    reuse_connection: only(true),
    http_health_check: z
      .strictObject({
        host: z.string().min(1).optional(),
        path: z.string().startsWith('/'),
        expected_statuses: z.array(statusRange).min(1).optional(),
        method: only('GET'),
      })
      .optional(),
    tcp_health_check: z
      .strictObject({ send: payload.optional(), receive: z.array(payload).default([]) })
      .optional(),
    grpc_health_check: z
      .strictObject({
        service_name: z.string().max(127).default(''),
        authority: z.string().min(1).optional(),
      })
      .optional(),
  })
  .refine(
    (each) => healthKinds.filter((key) => each[key] !== undefined).length === 1,
    `expected one of ${healthKinds.join(', ')}`,
  );
export type WrittenHealthCheck = z.output<typeof healthCheck>;

const positive = durationSchema().refine((ms) => ms > 0, 'expected more than 0');
const http2Options = z.strictObject({
  max_concurrent_streams: z.int().min(1).optional(),
});

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
  respect_dns_ttl: z.boolean().optional(),
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
  outlier_detection: outlierDetection.optional(),
  health_checks: z.array(healthCheck).max(1, 'expected one, as Envoy has').optional(),
  common_lb_config: z
    .strictObject({
      /** What is found out is in force at once here. */
      update_merge_window: only('0s'),
      healthy_panic_threshold: z
        .strictObject({ value: z.number().min(0).max(100).default(0) })
        .optional(),
    })
    .optional(),
  transport_socket: upstreamTls.optional(),
  typed_extension_protocol_options: z
    .strictObject({
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          common_http_protocol_options: z
            .strictObject({
              idle_timeout: positive.optional(),
              max_connection_duration: positive.optional(),
              max_requests_per_connection: z.int().min(1).optional(),
            })
            .optional(),
          explicit_http_config: z
            .strictObject({
              http_protocol_options: z.strictObject({}).optional(),
              http2_protocol_options: http2Options.optional(),
            })
            .optional(),
          auto_config: z
            .strictObject({
              http_protocol_options: z.strictObject({}).optional(),
              http2_protocol_options: http2Options.optional(),
            })
            .optional(),
        },
      ).optional(),
    })
    .optional(),
  http2_protocol_options: http2Options.optional(),
  upstream_connection_options: z
    .strictObject({
      tcp_keepalive: z
        .strictObject({
          keepalive_probes: z.int().min(1).optional(),
          keepalive_time: z.int().min(1).optional(),
          keepalive_interval: z.int().min(1).optional(),
        })
        .optional(),
    })
    .optional(),
  circuit_breakers: z
    .strictObject({
      thresholds: z
        .array(
          z.strictObject({
            priority: only('DEFAULT'),
            max_connections: z.int().min(1).optional(),
            max_pending_requests: z.int().min(0).optional(),
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
