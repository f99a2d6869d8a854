import { isIP } from 'node:net';
import { parseDuration } from '@countersign/base';
import { durationSchema, issuerSchema } from '@countersign/config';
import { revocationSchema } from '@countersign/revocation';
import { z } from 'zod';
import { principalPattern } from '../operation/caller.ts';
import { grpcSchema } from './grpc-config-schema.ts';
import { telemetrySchema } from './telemetry-config-schema.ts';

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));
const count = (fallback: number, most: number) => z.int().min(1).max(most).default(fallback);
const path = z.string().min(1);
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of a header')
  .toLowerCase();
const headerValue = z.string().regex(/^[\t\x20-\x7e]*$/, 'expected printable ASCII');
const principal = z
  .string()
  .regex(principalPattern, 'expected a SPIFFE ID, or its beginning and "*"');

const segment = z
  .string()
  .regex(/^[a-zA-Z0-9._-]+$/, 'expected letters, digits, ".", "_" and "-"')
  .refine((text) => text !== '.' && text !== '..', 'expected a name, not dots');

const listenSchema = z.strictObject({
  address: z
    .string()
    .refine((text) => isIP(text) !== 0 || text === 'localhost', 'expected an IP address')
    .default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(4000),
  /** Where operations are sent; `/` answers them too. */
  path: z.string().startsWith('/').default('/graphql'),
  /** `required` and `optional` serve HTTPS with the router's own identity; `off` serves HTTP. */
  client_mtls: z.enum(['required', 'optional', 'off']).default('off'),
});

const mtlsSchema = z.strictObject({
  /** `false` chooses plaintext subgraphs, which is logged. */
  enabled: z.boolean().default(true),
  trust_domain: z.string().default('cluster.local'),
  service_name: segment.default('router'),
  namespace: segment.default('default'),
  cert_ttl_secs: z.int().min(1).max(31_536_000).default(3600),
  /** With `ca_key_path`: a local authority, made there where neither file exists. Without both: one in memory. */
  ca_cert_path: path.optional(),
  ca_key_path: path.optional(),
  /** Written at start with a local authority, read with another one; what changes there is taken over. */
  trust_bundle_path: path.optional(),
  verify_hostname: z.boolean().default(true),
  /** Plaintext where no mTLS is to be had; logged and counted each time, refused in production unless forced. */
  allow_fallback: z.boolean().default(false),
});

const subgraphMtlsSchema = z.strictObject({
  enabled: z.boolean().optional(),
  /** Whose certificate the subgraph shows, unless `spiffe_id` says it: these three, its own name as `service_name`. */
  trust_domain: z.string().optional(),
  namespace: segment.optional(),
  service_name: segment.optional(),
  verify_hostname: z.boolean().optional(),
  allow_fallback: z.boolean().optional(),
});

const headerRules = z.strictObject({
  /** Names of the caller's headers that are passed on; never those that speak of an identity. */
  propagate: z.array(headerName).default([]),
  set: z.record(headerName, headerValue).default({}),
});

const retrySchema = z.strictObject({
  /** Further attempts of a query whose connection failed, or that was answered 502, 503 or 504; mutations never. */
  attempts: z.int().min(0).max(10).default(1),
  /** Before the first of them; doubles each time. */
  backoff: duration('50ms'),
});

const subgraphSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, 'expected a name of letters, digits, "_" and "-"'),
  /** `https://host[:port][/path]`, or `grpcs://host[:port]`; of the supergraph unless given. */
  url: z.string().optional(),
  /** Path of its SDL, Federation 1 or 2; fetched by introspection where absent and there is no `supergraph`. */
  schema: path.optional(),
  /** It speaks gRPC: its methods are the fields. */
  grpc: grpcSchema.optional(),
  mtls: subgraphMtlsSchema.default({}),
  /** Who must answer there: one, or any of several. */
  spiffe_id: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  /** What the router presents there, if not its own identity; with a local authority alone. */
  identity: z
    .strictObject({ service_name: segment, namespace: segment.default('default') })
    .optional(),
  /** Until the whole answer is there. */
  timeout: duration('30s'),
  retry: retrySchema.prefault({}),
  headers: headerRules.prefault({}),
  /** Where its subscriptions are served, and how; `url` and SSE unless given. */
  subscriptions: z
    .strictObject({
      protocol: z.enum(['sse', 'graphql-ws']).default('sse'),
      path: z.string().startsWith('/').optional(),
    })
    .prefault({}),
});

const authoritySchema = z.strictObject({
  /** A Countersign authority: enrols with `token`, or takes the identity of `identity`, and renews there. */
  url: z.url({ protocol: /^https$/ }).optional(),
  /** A token, `@FILE` or `-`; needed once. */
  token: z.string().min(1).optional(),
  /** Directory of the identity: of `url`, or one that somebody else keeps fresh where there is no `url`. */
  identity: path.optional(),
  /** Socket of a SPIFFE Workload API, `unix:///path/of/agent.sock`, whose agent keeps the identity and the bundles fresh. */
  workload_api: z
    .string()
    .regex(/^(unix:(\/\/)?)?\/.+$/, 'expected unix:///path/of/agent.sock')
    .optional(),
  /** Which identity of the Workload API, where it gives several; the first, unless given. */
  spiffe_id: z.string().startsWith('spiffe://').optional(),
});

const limitsSchema = z.strictObject({
  max_body_bytes: z
    .int()
    .min(1024)
    .max(1 << 30)
    .default(1_048_576),
  /** Of one document, in characters. */
  max_document_chars: count(100_000, 100_000_000),
  /** How deep the JSON of a request may be nested, variables included. */
  max_json_depth: count(100, 10_000),
  max_tokens: count(5000, 10_000_000),
  /** Arguments of one document, with the fields of input objects and the variables that it defines. */
  max_arguments: count(500, 1_000_000),
  /** Directives of one document. */
  max_directives: count(100, 1_000_000),
  /** Variables that one document defines. */
  max_variables: count(100, 100_000),
  max_depth: count(30, 10_000),
  max_aliases: count(100, 1_000_000),
  /** Root fields of one operation. */
  max_root_fields: count(50, 100_000),
  /** Fields as written, fragments expanded. */
  max_fields: count(2000, 10_000_000),
  /** Sum over all fields: 1 each, a list field times 10; refused before planning. */
  max_cost: count(1_000_000, Number.MAX_SAFE_INTEGER),
  /** Fragments of one operation that are answered later, where the caller takes an answer in parts. */
  max_deferred: count(50, 1000),
  /** Operations in one request; 1 refuses batches. */
  max_batch: count(1, 1000),
  /** Of one answer of a subgraph, and of one to a caller. */
  max_response_bytes: z
    .int()
    .min(1024)
    .max(1 << 30)
    .default(33_554_432),
  /** Open client connections. */
  max_connections: count(10_000, 1_000_000),
  /** Operations under way; further ones are refused with 503. */
  max_operations: count(10_000, 1_000_000),
  /** Subscriptions open at once. */
  max_subscriptions: count(10_000, 1_000_000),
  operation_timeout: duration('60s'),
});

const authorizationSchema = z.strictObject({
  /** Who holds a role: SPIFFE IDs, or their beginning and "*". */
  roles: z.record(z.string(), z.array(principal)).default({}),
  /** Whoever is named here may call at all; everybody, unless given. */
  callers: z.array(principal).optional(),
  /** A refused field becomes null with an error, or the operation is refused. */
  on_refused: z.enum(['null', 'reject']).default('null'),
});

export const routerSchema = z.strictObject({
  listen: listenSchema.prefault({}),
  /** Path of the supergraph; composed from `subgraphs[].schema` where absent. */
  supergraph: path.optional(),
  mtls: mtlsSchema.prefault({}),
  subgraphs: z.array(subgraphSchema).default([]),
  authority: authoritySchema.optional(),
  /** Somebody else's authority or agent that the own identity comes from, instead of `authority`. */
  issuer: issuerSchema.optional(),
  /**
   * How it is found out who is revoked: with an authority that has a `url`, whose feed is followed unless it says otherwise, and
   * with an `issuer`, which has none.
   */
  revocation: revocationSchema.optional(),
  authorization: authorizationSchema.prefault({}),
  /** Labels of `@override(label:)` that hold, or for how many per cent of the operations; `percent(n)` needs none. */
  override_labels: z
    .record(z.string(), z.union([z.boolean(), z.number().min(0).max(100)]))
    .default({}),
  /** Bearer tokens as a second source of claims, for `@authenticated` and `@requiresScopes`. */
  jwt: z
    .strictObject({
      /** Path of the issuer's JWKS, or its https: URL. */
      jwks: path,
      /** Of a URL: path of who vouches for its server, PEM; the system's roots unless given. */
      ca: path.optional(),
      /** Of a URL: how often it is fetched; sooner for a key that is not in it. */
      refresh: duration('10m'),
      /** Of a URL: how long keys are used that could not be fetched again. */
      max_stale: duration('1d'),
      issuer: z.string().min(1),
      audience: z.string().min(1),
      header: headerName.default('authorization'),
    })
    .optional(),
  limits: limitsSchema.prefault({}),
  headers: headerRules.prefault({}),
  /** Requests with files (GraphQL multipart request specification) are let through, streamed to one subgraph; not unless given. */
  uploads: z
    .strictObject({
      max_files: count(10, 1000),
      /** Of each file. */
      max_file_bytes: count(10_485_760, 1 << 30),
    })
    .optional(),
  /** Whether the schema may be asked for. */
  introspection: z.boolean().default(true),
  /** A page for browsers at `listen.path`: GraphiQL where it is installed. With NODE_ENV=production only if `always`. */
  landing_page: z.union([z.boolean(), z.literal('always')]).default(true),
  /** Requests that a foreign web page could send without asking are refused. */
  csrf_prevention: z.boolean().default(true),
  cors: z
    .strictObject({
      /** Exact origins, such as `https://app.example.com`. */
      origins: z.array(z.url()).min(1),
      credentials: z.boolean().default(false),
      max_age: duration('1h'),
    })
    .optional(),
  persisted_operations: z
    .strictObject({
      /** Apollo's automatic persisted queries. */
      automatic: z.boolean().default(true),
      /** JSON file of a map from SHA-256 (hex) or name to document; with it no other operation is let through. */
      safelist: path.optional(),
    })
    .prefault({}),
  /** Answers of equal queries that are under way at once are shared among callers of one identity. */
  deduplicate: z.boolean().default(true),
  cache: z
    .strictObject({
      /** Keeps subgraphs' answers as long as their cache-control says, for each caller on its own; 0 keeps none. */
      max_bytes: z
        .int()
        .min(0)
        .max(1 << 30)
        .default(0),
    })
    .prefault({}),
  errors: z
    .strictObject({
      /** Errors of subgraphs reach the caller as they are, or as their place and code alone, and are logged. */
      subgraph_messages: z.enum(['show', 'redact']).default('show'),
    })
    .prefault({}),
  telemetry: telemetrySchema(principal).prefault({}),
  /** Operations slower than this are logged with where the time went. */
  slow_operation: duration('1s'),
});
