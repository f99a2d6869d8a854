import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { headerNames, headerText } from './model/header-schema.ts';
import { wrongWithExpression } from './model/text-match.ts';
import { rateLimitsSchema } from './rate-limits/rate-limit-config.ts';
import { headerName, upstreamSchema, upstreamShape, weightedSchema } from './upstream-config.ts';

/** One of `routes:` in gateway.yaml. */
export type RouteConfig = z.output<typeof routeSchema>;

const percent = z.number().min(0).max(100).default(100);

const expression = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const wrong = wrongWithExpression(text);
    if (wrong !== undefined) context.addIssue({ code: 'custom', message: wrong });
  });

/** A text alone is compared whole. */
const textSchema = z.union([
  z.string(),
  z.strictObject({ exact: z.string() }),
  z.strictObject({ prefix: z.string() }),
  z.strictObject({ suffix: z.string() }),
  z.strictObject({ regex: expression }),
  z.strictObject({ present: z.boolean() }),
]);
export type TextConfig = z.output<typeof textSchema>;

const changesOf = (name: z.ZodType<string, string>) =>
  z.strictObject({
    remove: z.array(headerNames.removed).default([]),
    set: z.record(name, headerText).default({}),
    add: z.record(name, headerText).default({}),
  });
const requestChanges = changesOf(headerNames.request);
const responseChanges = changesOf(headerNames.response);

export type HeadersConfig = z.output<typeof requestChanges>;

const matchSchema = z.strictObject({
  /** Whole segments: `/api` covers `/api` and `/api/x`, not `/apix`. */
  pathPrefix: z.string().startsWith('/').optional(),
  /** The whole path. */
  path: z.string().startsWith('/').optional(),
  /** RE2, matched whole. */
  pathRegex: expression.optional(),
  ignorePathCase: z.boolean().default(false),
  /** Host header without the port, case ignored, or `*.example.com`; every host where absent. */
  host: z
    .string()
    .regex(
      /^(?:\*\.)?[^*]+$/,
      'expected a host, or a star for its first labels, such as *.example.com',
    )
    .toLowerCase()
    .optional(),
  methods: z
    .array(z.string().regex(/^[A-Z]+$/))
    .min(1)
    .optional(),
  /** All of them. */
  headers: z.record(headerName, textSchema).default({}),
  query: z.record(z.string().min(1), textSchema).default({}),
});

export const routeSchema = z.strictObject({
  match: matchSchema,
  upstream: upstreamSchema.optional(),
  /** Several, each for its share. */
  upstreams: z.array(weightedSchema).min(1).max(64).optional(),
  redirect: z
    .strictObject({
      status: z.union([301, 302, 303, 307, 308].map((status) => z.literal(status))).default(302),
      scheme: z.enum(['http', 'https']).optional(),
      host: z.string().min(1).optional(),
      port: z.int().min(1).max(65_535).optional(),
      path: z.string().startsWith('/').optional(),
    })
    .optional(),
  respond: z
    .strictObject({ status: z.int().min(200).max(599), body: z.string().max(65_536).default('') })
    .optional(),
  /** What the upstream is asked for instead: `path` stands for what the match covered. */
  rewrite: z
    .strictObject({
      path: z.string().startsWith('/').optional(),
      host: z.string().min(1).optional(),
    })
    .optional(),
  requestHeaders: requestChanges.optional(),
  responseHeaders: responseChanges.optional(),
  /** From the whole request to the whole response, retries included; 504 then. */
  timeout: durationSchema().optional(),
  retries: z
    .strictObject({
      attempts: z.int().min(0).max(10).default(2),
      perTryTimeout: durationSchema().default(0),
      on: z
        .array(
          z.enum([
            ...(['5xx', 'gateway-error', 'reset', 'connect-failure', 'refused-stream'] as const),
            ...(['reset-before-request', 'envoy-ratelimited'] as const),
            ...(['retriable-4xx', 'unavailable', 'cancelled', 'deadline-exceeded'] as const),
            ...(['internal', 'resource-exhausted'] as const),
          ]),
        )
        .min(1)
        .default(['connect-failure', 'refused-stream', 'unavailable', 'cancelled']),
      statuses: z.array(z.int().min(400).max(599)).default([]),
    })
    .optional(),
  /** Requests are sent there as well; what becomes of them there nobody is told. */
  mirror: z.strictObject({ ...upstreamShape, percent }).optional(),
  rateLimits: rateLimitsSchema,
  /** Which pages of other origins may read the answers. */
  cors: z
    .strictObject({
      origins: z.array(textSchema).min(1).max(64),
      methods: z.array(z.string().regex(/^[A-Z]+$/)).optional(),
      headers: z.array(headerName).optional(),
      expose: z.array(headerName).optional(),
      maxAge: durationSchema().optional(),
      credentials: z.boolean().default(false),
    })
    .optional(),
  /** For trials of what callers do when things go wrong. */
  fault: z
    .strictObject({
      delay: z
        .strictObject({
          time: durationSchema().refine(
            (ms) => ms <= 600_000,
            'expected at most 10m: each delayed request is held',
          ),
          percent,
        })
        .optional(),
      abort: z.strictObject({ status: z.int().min(200).max(599), percent }).optional(),
    })
    .optional(),
});
