import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { expression } from '../istio/virtual-service-schema.ts';
import { headerFormat, headerNames, hostText } from '../model/header-schema.ts';
import { dataSource, only, typed } from './envoy-document.ts';
import { stringMatcher } from './envoy-tls-schema.ts';

const headersToAdd = (key: z.ZodType<string>) =>
  z
    .array(
      z.strictObject({
        header: z.strictObject({ key, value: headerFormat.default('') }),
        append_action: z
          .enum(['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD'])
          .default('APPEND_IF_EXISTS_OR_ADD'),
      }),
    )
    .optional();
const headersToRemove = z.array(headerNames.removed).optional();
export const headerShape = {
  request_headers_to_add: headersToAdd(headerNames.request),
  request_headers_to_remove: headersToRemove,
  response_headers_to_add: headersToAdd(headerNames.response),
  response_headers_to_remove: headersToRemove,
};
export type WrittenHeaders = {
  readonly [K in keyof typeof headerShape]?: z.output<(typeof headerShape)[K]>;
};

export const headerMatcher = z
  .strictObject({
    name: z.string().min(1),
    string_match: stringMatcher.optional(),
    present_match: z.boolean().optional(),
    invert_match: z.boolean().optional(),
    treat_missing_header_as_empty: z.boolean().optional(),
  })
  .refine(
    (each) => each.string_match === undefined || each.present_match === undefined,
    'expected one of string_match and present_match',
  );
export type HeaderMatcher = z.output<typeof headerMatcher>;

const regexMatcher = z.strictObject({
  regex: expression,
  google_re2: z.strictObject({}).optional(),
});
const regexRewrite = z.strictObject({
  pattern: regexMatcher,
  substitution: z.string().default(''),
});

const paths = ['prefix', 'path', 'safe_regex', 'path_separated_prefix'] as const;
const match = z
  .strictObject({
    prefix: z.string().optional(),
    path: z.string().optional(),
    safe_regex: regexMatcher.optional(),
    path_separated_prefix: z
      .string()
      .startsWith('/')
      .regex(/[^/]$/, 'expected a path without a slash at its end')
      .optional(),
    case_sensitive: z.boolean().optional(),
    headers: z.array(headerMatcher).optional(),
    query_parameters: z
      .array(
        z.strictObject({
          name: z.string().min(1),
          string_match: stringMatcher.optional(),
          present_match: z.boolean().optional(),
        }),
      )
      .optional(),
    grpc: z.strictObject({}).optional(),
  })
  .refine(
    (each) => paths.filter((key) => each[key] !== undefined).length === 1,
    `expected one of ${paths.join(', ')}`,
  );
export type RouteMatch = z.output<typeof match>;

const retryPolicy = z.strictObject({
  retry_on: z.string().default(''),
  num_retries: z.int().min(0).max(100).default(1),
  per_try_timeout: durationSchema().optional(),
  retriable_status_codes: z.array(z.int().min(100).max(599)).optional(),
  retry_back_off: z
    .strictObject({ base_interval: durationSchema(), max_interval: durationSchema().optional() })
    .optional(),
  retry_host_predicate: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        typed_config: typed(
          'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
          {},
        ),
      }),
    )
    .optional(),
  /** How often another is looked for: here all are known. */
  host_selection_retry_max_attempts: z.coerce.number().int().optional(),
});
export type RetryPolicy = z.output<typeof retryPolicy>;

const fraction = z.strictObject({
  default_value: z
    .strictObject({
      numerator: z.int().min(0).default(0),
      denominator: z.enum(['HUNDRED', 'TEN_THOUSAND', 'MILLION']).default('HUNDRED'),
    })
    .default({ numerator: 0, denominator: 'HUNDRED' }),
});
export type Fraction = z.output<typeof fraction>;

const hashKinds = ['header', 'cookie', 'connection_properties', 'query_parameter'] as const;
const hashPolicy = z
  .strictObject({
    header: z.strictObject({ header_name: z.string().min(1) }).optional(),
    cookie: z
      .strictObject({
        name: z.string().min(1),
        ttl: durationSchema().optional(),
        path: z.string().optional(),
      })
      .optional(),
    connection_properties: z.strictObject({ source_ip: z.boolean().default(false) }).optional(),
    query_parameter: z.strictObject({ name: z.string().min(1) }).optional(),
    terminal: z.boolean().optional(),
  })
  .refine(
    (each) => hashKinds.filter((key) => each[key] !== undefined).length === 1,
    `expected one of ${hashKinds.join(', ')}`,
  );
export type WrittenHashPolicy = z.output<typeof hashPolicy>;

const routeAction = z
  .strictObject({
    cluster: z.string().min(1).optional(),
    weighted_clusters: z
      .strictObject({
        clusters: z
          .array(
            z.strictObject({
              name: z.string().min(1),
              weight: z.int().min(0).default(0),
              host_rewrite_literal: hostText.optional(),
              ...headerShape,
            }),
          )
          .min(1),
      })
      .optional(),
    /** 15 s unless given; 0 is none. */
    timeout: durationSchema().default(15_000),
    idle_timeout: durationSchema().optional(),
    prefix_rewrite: z.string().min(1).optional(),
    regex_rewrite: regexRewrite.optional(),
    host_rewrite_literal: hostText.optional(),
    auto_host_rewrite: z.boolean().optional(),
    retry_policy: retryPolicy.optional(),
    hash_policy: z.array(hashPolicy).max(16).optional(),
    request_mirror_policies: z
      .array(
        z.strictObject({
          cluster: z.string().min(1),
          runtime_fraction: fraction.optional(),
          trace_sampled: z.boolean().optional(),
        }),
      )
      .optional(),
  })
  .refine(
    (each) => (each.cluster === undefined) !== (each.weighted_clusters === undefined),
    'expected one of cluster and weighted_clusters',
  );
export type WrittenAction = z.output<typeof routeAction>;

const codes = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
};
const redirect = z.strictObject({
  https_redirect: z.boolean().optional(),
  scheme_redirect: z.enum(['http', 'https']).optional(),
  host_redirect: z.string().min(1).optional(),
  port_redirect: z.int().min(1).max(65_535).optional(),
  path_redirect: z.string().min(1).optional(),
  prefix_rewrite: z.string().min(1).optional(),
  regex_rewrite: regexRewrite.optional(),
  response_code: z
    .enum(Object.keys(codes) as [keyof typeof codes])
    .default('MOVED_PERMANENTLY')
    .transform((name) => codes[name]),
  strip_query: z.boolean().optional(),
});
export type WrittenRedirect = z.output<typeof redirect>;

const kinds = ['route', 'redirect', 'direct_response'] as const;
const route = z
  .strictObject({
    name: z.string().optional(),
    match,
    route: routeAction.optional(),
    redirect: redirect.optional(),
    direct_response: z
      .strictObject({ status: z.int().min(200).max(599), body: dataSource.optional() })
      .optional(),
    ...headerShape,
  })
  .refine(
    (each) => kinds.filter((key) => each[key] !== undefined).length === 1,
    `expected one of ${kinds.join(', ')}`,
  );
export type WrittenRoute = z.output<typeof route>;

export const routeConfig = z.strictObject({
  name: z.string().optional(),
  virtual_hosts: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        domains: z.array(z.string().min(1)).min(1),
        routes: z.array(route).default([]),
        require_tls: z.enum(['NONE', 'ALL', 'EXTERNAL_ONLY']).optional(),
        retry_policy: retryPolicy.optional(),
        ...headerShape,
      }),
    )
    .default([]),
  ignore_port_in_host_matching: z.boolean().optional(),
  most_specific_header_mutations_wins: z.boolean().optional(),
  validate_clusters: only(true),
  ...headerShape,
});
export type RouteConfiguration = z.output<typeof routeConfig>;
