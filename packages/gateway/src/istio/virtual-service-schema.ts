import { z } from 'zod';
import { headerFormat, headerNames, hostText } from '../model/header-schema.ts';
import { wrongWithExpression } from '../model/text-match.ts';
import { exportToSchema, istioDuration, undone } from './istio-document.ts';

export const expression = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const wrong = wrongWithExpression(text);
    if (wrong !== undefined) context.addIssue({ code: 'custom', message: wrong });
  });

/** Without any of them it is there, whatever it is. */
const stringMatch = z
  .strictObject({
    exact: z.string().optional(),
    prefix: z.string().optional(),
    regex: expression.optional(),
  })
  .refine((value) => Object.keys(value).length <= 1, 'expected one of exact, prefix and regex')
  .nullable();
export type StringMatch = z.output<typeof stringMatch>;

const portSelector = z.strictObject({ number: z.int().min(1).max(65_535) });

const destination = z.strictObject({
  host: z.string().min(1),
  subset: z.string().min(1).optional(),
  port: portSelector.optional(),
});
export type Destination = z.output<typeof destination>;

const requestChanges = z.strictObject({
  set: z.record(headerNames.requestOrHost, headerFormat).optional(),
  add: z.record(headerNames.request, headerFormat).optional(),
  remove: z.array(headerNames.removed).optional(),
});
const responseChanges = z.strictObject({
  set: z.record(headerNames.response, headerFormat).optional(),
  add: z.record(headerNames.response, headerFormat).optional(),
  remove: z.array(headerNames.removed).optional(),
});
export type HeaderChanges = z.output<typeof requestChanges>;

const headers = z.strictObject({
  request: requestChanges.optional(),
  response: responseChanges.optional(),
});

const weight = z.int().min(0).max(0x7f_ff_ff_ff).optional();
const percentage = z.strictObject({ value: z.number().min(0).max(100).default(0) });

const match = z.strictObject({
  name: z.string().optional(),
  uri: stringMatch.optional(),
  scheme: stringMatch.optional(),
  method: stringMatch.optional(),
  authority: stringMatch.optional(),
  headers: z.record(z.string().min(1), stringMatch).optional(),
  withoutHeaders: z.record(z.string().min(1), stringMatch).optional(),
  queryParams: z.record(z.string().min(1), stringMatch).optional(),
  port: z.int().min(1).max(65_535).optional(),
  ignoreUriCase: z.boolean().optional(),
  gateways: z.array(z.string().min(1)).optional(),
  ...undone('sourceLabels', 'sourceNamespace', 'statPrefix'),
});
export type HttpMatch = z.output<typeof match>;

const corsPolicy = z.strictObject({
  allowOrigins: z.array(stringMatch).optional(),
  /** The same of old, compared whole; `*` is any. */
  allowOrigin: z.array(z.string().min(1)).optional(),
  allowMethods: z.array(z.string().min(1)).optional(),
  allowHeaders: z.array(z.string().min(1)).optional(),
  exposeHeaders: z.array(z.string().min(1)).optional(),
  maxAge: istioDuration().optional(),
  allowCredentials: z.boolean().nullable().optional(),
  unmatchedPreflights: z.enum(['UNSPECIFIED', 'FORWARD', 'IGNORE']).optional(),
});
export type CorsPolicy = z.output<typeof corsPolicy>;

const longestDelayMs = 600_000;

const httpRoute = z.strictObject({
  name: z.string().optional(),
  match: z.array(match).optional(),
  route: z
    .array(z.strictObject({ destination, weight, headers: headers.optional() }))
    .min(1)
    .optional(),
  redirect: z
    .strictObject({
      uri: z.string().optional(),
      authority: z.string().optional(),
      port: z.int().min(1).max(65_535).optional(),
      derivePort: z.enum(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']).optional(),
      scheme: z.enum(['http', 'https']).optional(),
      redirectCode: z.union([301, 302, 303, 307, 308].map((code) => z.literal(code))).optional(),
    })
    .optional(),
  directResponse: z
    .strictObject({
      status: z.int().min(200).max(599),
      body: z
        .strictObject({ string: z.string().optional(), bytes: z.base64().optional() })
        .optional(),
    })
    .optional(),
  rewrite: z
    .strictObject({
      uri: z.string().optional(),
      authority: hostText.optional(),
      uriRegexRewrite: z.strictObject({ match: expression, rewrite: z.string() }).optional(),
    })
    .optional(),
  timeout: istioDuration().optional(),
  retries: z
    .strictObject({
      attempts: z.int().min(0).max(100).default(2),
      perTryTimeout: istioDuration().optional(),
      retryOn: z.string().optional(),
      retryIgnorePreviousHosts: z.boolean().optional(),
      backoff: istioDuration().optional(),
      ...undone('retryRemoteLocalities'),
    })
    .optional(),
  fault: z
    .strictObject({
      delay: z
        .strictObject({
          fixedDelay: istioDuration().refine(
            (ms) => ms <= longestDelayMs,
            'expected at most 10m: each delayed request is held',
          ),
          percentage: percentage.optional(),
          percent: z.int().min(0).max(100).optional(),
          ...undone('exponentialDelay'),
        })
        .optional(),
      abort: z
        .strictObject({
          httpStatus: z.int().min(200).max(599).optional(),
          grpcStatus: z.string().optional(),
          percentage: percentage.optional(),
          ...undone('http2Error'),
        })
        .optional(),
    })
    .optional(),
  mirror: destination.optional(),
  mirrorPercentage: percentage.optional(),
  mirrorPercent: z.int().min(0).max(100).optional(),
  mirrors: z.array(z.strictObject({ destination, percentage: percentage.optional() })).optional(),
  headers: headers.optional(),
  corsPolicy: corsPolicy.optional(),
  ...undone('delegate'),
});
export type HttpRoute = z.output<typeof httpRoute>;

const tcpRoute = z.strictObject({
  match: z
    .array(
      z.strictObject({
        port: z.int().min(1).max(65_535).optional(),
        gateways: z.array(z.string().min(1)).optional(),
        ...undone('destinationSubnets', 'sourceLabels', 'sourceNamespace', 'sourceSubnet'),
      }),
    )
    .optional(),
  route: z.array(z.strictObject({ destination, weight })).min(1),
});
export type TcpRoute = z.output<typeof tcpRoute>;

/** `spec` of networking.istio.io VirtualService. */
export const virtualServiceSpec = z.strictObject({
  hosts: z.array(z.string().min(1)).min(1),
  gateways: z.array(z.string().min(1)).optional(),
  http: z.array(httpRoute).optional(),
  tcp: z.array(tcpRoute).optional(),
  exportTo: exportToSchema,
  ...undone('tls'),
});
export type VirtualServiceSpec = z.output<typeof virtualServiceSpec>;
