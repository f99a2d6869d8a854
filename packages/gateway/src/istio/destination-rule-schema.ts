import { z } from 'zod';
import { exportToSchema, istioDuration, undone } from './istio-document.ts';

const path = z.string().min(1);

const tls = z.strictObject({
  mode: z.enum(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL']).default('DISABLE'),
  clientCertificate: path.optional(),
  privateKey: path.optional(),
  caCertificates: path.optional(),
  caCrl: path.optional(),
  subjectAltNames: z.array(z.string().min(1)).optional(),
  sni: z.string().min(1).optional(),
  ...undone('credentialName', 'insecureSkipVerify'),
});
export type ClientTls = z.output<typeof tls>;

const hashKeys = ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'] as const;
/** Larger ones take seconds to make here. */
const ringSize = z.coerce.number().int().min(0).max(65_536).optional();

const consistentHash = z
  .strictObject({
    httpHeaderName: z.string().min(1).optional(),
    httpCookie: z
      .strictObject({
        name: z.string().min(1),
        path: z.string().optional(),
        ttl: istioDuration().optional(),
        ...undone('attributes'),
      })
      .optional(),
    useSourceIp: z.boolean().optional(),
    httpQueryParameterName: z.string().min(1).optional(),
    ringHash: z.strictObject({ minimumRingSize: ringSize }).optional(),
    minimumRingSize: ringSize,
    ...undone('maglev'),
  })
  .refine(
    (hash) => hashKeys.filter((key) => hash[key] !== undefined).length === 1,
    `expected one of ${hashKeys.join(', ')}`,
  );
export type ConsistentHash = z.output<typeof consistentHash>;

const loadBalancer = z
  .strictObject({
    simple: z
      .enum(['UNSPECIFIED', 'ROUND_ROBIN', 'LEAST_REQUEST', 'LEAST_CONN', 'RANDOM'])
      .optional(),
    consistentHash: consistentHash.optional(),
    ...undone('localityLbSetting', 'warmup', 'warmupDurationSecs'),
  })
  .refine(
    ({ simple, consistentHash: hash }) => simple === undefined || hash === undefined,
    'expected one of simple and consistentHash',
  );
export type LoadBalancer = z.output<typeof loadBalancer>;

const positive = istioDuration().refine((ms) => ms > 0, 'expected more than 0');
const count = z.int().min(0).max(0xff_ff_ff_ff);

const outlierDetection = z.strictObject({
  consecutive5xxErrors: count.nullable().optional(),
  consecutiveGatewayErrors: count.nullable().optional(),
  splitExternalLocalOriginErrors: z.boolean().optional(),
  consecutiveLocalOriginFailures: count.nullable().optional(),
  interval: istioDuration().optional(),
  baseEjectionTime: istioDuration().optional(),
  maxEjectionPercent: z.int().min(0).max(100).optional(),
  minHealthPercent: z.int().min(0).max(100).optional(),
  ...undone('consecutiveErrors'),
});
export type OutlierDetectionSpec = z.output<typeof outlierDetection>;

const policyShape = {
  loadBalancer: loadBalancer.optional(),
  connectionPool: z
    .strictObject({
      tcp: z
        .strictObject({
          maxConnections: z.int().min(1).optional(),
          connectTimeout: istioDuration().optional(),
          idleTimeout: istioDuration().optional(),
          maxConnectionDuration: positive.optional(),
          tcpKeepalive: z
            .strictObject({
              probes: z.int().min(1).optional(),
              time: positive.optional(),
              interval: positive.optional(),
            })
            .optional(),
        })
        .optional(),
      http: z
        .strictObject({
          http2MaxRequests: z.int().min(1).optional(),
          maxRetries: z.int().min(0).optional(),
          h2UpgradePolicy: z.enum(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE']).optional(),
          http1MaxPendingRequests: z.int().min(1).optional(),
          /** 0: any number. */
          maxRequestsPerConnection: z.int().min(0).optional(),
          idleTimeout: positive.optional(),
          maxConcurrentStreams: z.int().min(1).optional(),
          ...undone('useClientProtocol', 'http2KeepAlive'),
        })
        .optional(),
    })
    .optional(),
  retryBudget: z
    .strictObject({
      percent: z.number().min(0).max(100).default(20),
      minRetryConcurrency: z.int().min(0).default(3),
    })
    .optional(),
  tls: tls.optional(),
  outlierDetection: outlierDetection.optional(),
  ...undone('tunnel', 'proxyProtocol'),
};

const trafficPolicy = z.strictObject({
  ...policyShape,
  portLevelSettings: z
    .array(z.strictObject({ port: z.strictObject({ number: z.int() }), ...policyShape }))
    .optional(),
});
export type TrafficPolicy = z.output<typeof trafficPolicy>;

/** `spec` of networking.istio.io DestinationRule. */
export const destinationRuleSpec = z.strictObject({
  host: z.string().min(1),
  trafficPolicy: trafficPolicy.optional(),
  subsets: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        labels: z.record(z.string(), z.string()).optional(),
        trafficPolicy: trafficPolicy.optional(),
      }),
    )
    .optional(),
  exportTo: exportToSchema,
  ...undone('workloadSelector'),
});
export type DestinationRuleSpec = z.output<typeof destinationRuleSpec>;
