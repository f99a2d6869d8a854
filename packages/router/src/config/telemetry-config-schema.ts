import { parseDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));

/** What is told of operations to those who watch the router. @param principal of a SPIFFE ID, or its beginning and "*" */
export function telemetrySchema(principal: z.ZodString) {
  return z.strictObject({
    /** Spans go to an OpenTelemetry collector, by OTLP over HTTP with protobuf. */
    otlp: z
      .strictObject({
        /** Such as `http://127.0.0.1:4318`; `/v1/traces` unless it has a path. https is verified by the system's roots. */
        endpoint: z.url({ protocol: /^https?$/ }),
        headers: z.record(z.string(), z.string()).default({}),
        /** Share of the traces that begin here, from 0 to 1; those of callers whose trace is taken up are as they say. */
        sample: z.number().min(0).max(1).default(1),
        /** Of one export, attempts included. */
        timeout: duration('10s'),
        /** Between exports; sooner where 512 spans wait. */
        interval: duration('2s'),
        service_name: z.string().min(1).default('countersign-router'),
      })
      .optional(),
    /** Callers whose `traceparent` is taken up, or `anyone`; others begin a trace of their own. */
    trace_from: z.union([z.literal('anyone'), z.array(principal)]).default([]),
    /** Names of operations with figures of their own in `/metrics`; further ones are `other`. 0: none. */
    max_operations: z.int().min(0).max(10_000).default(100),
    /** And callers. */
    max_callers: z.int().min(0).max(10_000).default(100),
  });
}
