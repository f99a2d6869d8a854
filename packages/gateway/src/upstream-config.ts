import { parseDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';

/** `upstream:` of a route in gateway.yaml, and whatever else is an upstream of HTTP there. */
export type UpstreamConfig = z.output<typeof upstreamSchema>;
export type BalancingConfig = UpstreamConfig['balancing'];

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));

export const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$/, 'expected the name of a header')
  .refine(
    (name) => name.toLowerCase() !== 'host',
    'the host is a matter of `match.host` and `rewrite.host`',
  );

const cookieName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of a cookie');

/** What of a request says which address takes it. */
const hashSchema = z.union([
  z.literal('sourceAddress'),
  z.strictObject({ header: headerName }),
  z.strictObject({ query: z.string().min(1) }),
  z.strictObject({
    cookie: z.strictObject({
      name: cookieName,
      /** Callers without it are given one that lives so long; 0: to the end of their session. */
      ttl: durationSchema().optional(),
      path: z
        .string()
        .regex(/^\/[^;\s]*$/, 'expected a path')
        .optional(),
    }),
  }),
]);

const balancingSchema = z.union([
  z.enum(['round-robin', 'least-request', 'random']),
  z.strictObject({
    /** Each that is there counts. */
    hash: z.array(hashSchema).min(1).max(16),
    minRingSize: z.int().min(1).max(65_536).default(1024),
  }),
]);

const percent = z.number().min(0).max(100);

/** When an address is taken out by how it answers; keys as Istio has them. */
const outlierSchema = z.strictObject({
  /** So many of 500 and above, one after the other; no answer counts as 503, a late one as 504. 0: however many. */
  consecutive5xxErrors: z.int().min(0).default(5),
  /** The same of 502, 503 and 504 alone. */
  consecutiveGatewayErrors: z.int().min(0).default(0),
  /** No answer and late ones are counted by themselves. */
  splitExternalLocalOriginErrors: z.boolean().default(false),
  consecutiveLocalOriginFailures: z.int().min(0).default(5),
  interval: duration('10s'),
  /** The first time; longer by as much each further time. */
  baseEjectionTime: duration('30s'),
  maxEjectionTime: duration('5m'),
  maxEjectionPercent: percent.default(10),
  /** One may be out whatever share of all it is. */
  alwaysEjectOneHost: z.boolean().default(false),
  /** Below this share of fit addresses all of them take requests. */
  minHealthPercent: percent.optional(),
});
export type OutlierConfig = z.output<typeof outlierSchema>;

const statusRange = z.union([
  z.int().min(100).max(599),
  z.strictObject({ from: z.int().min(100).max(599), to: z.int().min(100).max(599) }),
]);

/** Asks each address how it is, with the identity that requests are sent with. */
const healthCheckSchema = z
  .strictObject({
    http: z
      .strictObject({
        path: z.string().startsWith('/'),
        host: z.string().min(1).optional(),
        statuses: z.array(statusRange).min(1).default([200]),
      })
      .optional(),
    /** A handshake; then what is sent, and what has to be in the answer. */
    tcp: z.strictObject({ send: z.string().optional(), receive: z.string().optional() }).optional(),
    /** `grpc.health.v1`. */
    grpc: z
      .strictObject({ service: z.string().max(127).default(''), authority: z.string().optional() })
      .optional(),
    interval: duration('10s'),
    timeout: duration('2s'),
    /** Up to so long is added to each interval, and is waited before the first. */
    jitter: duration('1s'),
    unhealthyThreshold: z.int().min(1).default(3),
    healthyThreshold: z.int().min(1).default(2),
  })
  .refine(
    (check) => (['http', 'tcp', 'grpc'] as const).filter((key) => check[key]).length === 1,
    'expected one of http, tcp and grpc',
  );
export type HealthCheckConfig = z.output<typeof healthCheckSchema>;

/** What may be under way at the same time; what is beyond is refused with 503. */
const limitsSchema = z
  .strictObject({
    maxRequests: z.int().min(1).optional(),
    /** Requests that wait for a connection. */
    maxPendingRequests: z.int().min(0).optional(),
    maxRetries: z.int().min(0).optional(),
    /** A share of the requests under way, and at least so many. */
    retryBudget: z
      .strictObject({ percent: percent.default(20), minConcurrency: z.int().min(0).default(3) })
      .optional(),
  })
  .refine(
    ({ maxRetries, retryBudget }) => maxRetries === undefined || retryBudget === undefined,
    'expected one of maxRetries and retryBudget',
  );

const positive = durationSchema().refine((ms) => ms > 0, 'expected more than 0');

/** What becomes of open connections. */
const connectionsSchema = z.strictObject({
  /** A connection ends after so many requests. */
  maxRequests: z.int().min(1).optional(),
  /** A connection without a request is closed then; 4 s of HTTP/1.1 unless its server says otherwise, a minute of HTTP/2. */
  idleTimeout: positive.optional(),
  /** A connection takes no more requests then. */
  maxAge: positive.optional(),
  /** Requests at a time on one connection of HTTP/2. */
  maxStreams: z.int().min(1).max(100).optional(),
  /** Probes of TCP; what is not given is as the system has it. */
  keepAlive: z
    .strictObject({
      time: positive.optional(),
      interval: positive.optional(),
      probes: z.int().min(1).optional(),
    })
    .optional(),
});

const weightedUrl = z.strictObject({ url: z.string(), weight: z.int().min(1).max(1000) });

export const upstreamShape = {
  /** `https://host[:port]`, without a path; `http://` for this machine alone. Of several, each takes its share by weight. */
  url: z.union([
    z.string(),
    z
      .array(z.union([z.string(), weightedUrl]))
      .min(1)
      .max(256),
  ]),
  /** Who must answer there: one, or any of several. */
  spiffeId: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  /**
   * The version of HTTP that it is spoken to: `auto` is what it chooses. HTTP/1.1 where nothing is said, and HTTP/2 for
   * gRPC.
   */
  protocol: z.enum(['h1', 'h2', 'auto']).optional(),
  /** Which of several addresses takes a request. */
  balancing: balancingSchema.default('round-robin'),
  /** Every address of its names takes requests. Absent: each connection looks its name up, and takes one that answers. */
  dns: z
    .strictObject({
      refresh: durationSchema()
        .refine((ms) => ms >= 100, 'expected at least 100ms')
        .default(5000),
      /** Goes by the time to live of the answers, asking the servers of DNS themselves. */
      ttl: z.boolean().default(false),
      family: z.union([z.literal(4), z.literal(6)]).optional(),
    })
    .optional(),
  outlierDetection: outlierSchema.optional(),
  healthCheck: healthCheckSchema.optional(),
  /** Until the head of the response; 504 then. 0 waits for ever. A gRPC call has its own deadline as well. */
  timeout: duration('30s'),
  /** Between two pieces of the response body; 0 waits for ever. */
  idleTimeout: duration('5m'),
  connectTimeout: duration('5s'),
  /** Open connections to each address; further requests wait for one. */
  maxConnections: z.int().min(1).max(65_536).default(256),
  limits: limitsSchema.optional(),
  connections: connectionsSchema.optional(),
};

export const upstreamSchema = z.strictObject(upstreamShape);
export const weightedSchema = z.strictObject({
  ...upstreamShape,
  /** Its share of the requests. */
  weight: z.int().min(0).max(1_000_000),
});

/** Its addresses, each with its share. */
export function urlsOf({ url }: Pick<UpstreamConfig, 'url'>): { url: string; weight: number }[] {
  const written = typeof url === 'string' ? [url] : url;
  return written.map((each) => (typeof each === 'string' ? { url: each, weight: 1 } : each));
}
