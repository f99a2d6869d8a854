import type { Clock, Counter, Log, Meter } from '@countersign/base';
import type { SvidSource } from '@countersign/spiffe';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import {
  createOtlpHttpExportDelegate,
  httpAgentFactoryFromOptions,
} from '@opentelemetry/otlp-exporter-base/node-http';
import {
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper,
} from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { TelemetryConfig } from '../config/router-config.ts';
import { matchesPrincipal } from '../operation/caller.ts';
import type { FetchSpan, OperationSpan, TracedFetch, Tracer } from './operation-watch.ts';

export interface TracerOptions {
  readonly telemetry: TelemetryConfig;
  readonly otlp: NonNullable<TelemetryConfig['otlp']>;
  /** Who we are to callers; undefined where no certificate is shown to them. */
  readonly own: SvidSource | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** Ended spans that wait or are on their way; further ones are dropped, and counted. */
const maxPending = 4096;
const closeMs = 3000;
const propagator = new W3CTraceContextPropagator();

/**
 * Spans by OTLP over HTTP. The only file that knows OpenTelemetry; loaded where a collector is configured. Nothing here
 * waits: what the collector does not take in time is dropped.
 */
export function openTracer(options: TracerOptions): Tracer {
  const { telemetry, otlp, own } = options;
  const exporter = new CountedExporter(options);
  const batches = new BatchSpanProcessor({
    ...{ exporter, maxQueueSize: maxPending, maxExportBatchSize: 512 },
    ...{ scheduledDelayMillis: otlp.interval, exportTimeoutMillis: otlp.timeout + 1000 },
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': otlp.service_name }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(otlp.sample) }),
    spanProcessors: [new BoundedProcessor(batches, exporter)],
  });
  const tracer = provider.getTracer('countersign-router');
  return {
    begin({ caller, headers, over }) {
      const isTrusted =
        telemetry.trace_from === 'anyone' ||
        matchesPrincipal(caller.spiffeId, telemetry.trace_from);
      const parent = isTrusted ? propagator.extract(ROOT_CONTEXT, headers, getter) : ROOT_CONTEXT;
      const attributes = {
        'countersign.over': over,
        ...identityOf('caller', caller.spiffeId, caller.peer?.serialHex),
        ...ownIdentity(own),
      };
      const span = tracer.startSpan('graphql', { kind: SpanKind.SERVER, attributes }, parent);
      return new Operation(span, (name, asked, within) =>
        tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes: asked }, within),
      );
    },
    async close() {
      const late = options.clock.sleep(closeMs, { ref: false });
      await Promise.race([provider.shutdown().catch(() => {}), late]);
    },
  };
}

type StartSpan = (name: string, attributes: Attributes, within: Context) => Span;

class Operation implements OperationSpan {
  readonly #span: Span;
  readonly #start: StartSpan;
  readonly #context: Context;

  constructor(span: Span, start: StartSpan) {
    this.#span = span;
    this.#start = start;
    this.#context = trace.setSpan(ROOT_CONTEXT, span);
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  fetch({ subgraph, kind }: TracedFetch): FetchSpan {
    const { name, url, protocol, transport } = subgraph.settings;
    const svids = transport === 'mtls' ? subgraph.trust.svids : undefined;
    const attributes = {
      ...{ 'countersign.subgraph': name, 'countersign.protocol': protocol },
      ...{ 'countersign.transport': transport, 'graphql.operation.type': kind },
      ...{ 'server.address': url.hostname, 'server.port': Number(url.port) || defaultPort(url) },
      ...ownIdentity(svids),
    };
    const span = this.#start(`subgraph ${name}`, attributes, this.#context);
    const headers: string[] = [];
    propagator.inject(trace.setSpan(this.#context, span), headers, setter);
    return {
      headers,
      end(result, peer) {
        const id = peer?.spiffeId?.toString();
        span.setAttributes({
          ...identityOf('peer', id, peer?.serialHex),
          'countersign.result': result,
        });
        finish(span, result === 'ok' || result === 'cached' ? undefined : result);
      },
    };
  }

  end({ name, kind, result }: Parameters<OperationSpan['end']>[0]): void {
    const span = this.#span;
    span.updateName(name === undefined ? kind : `${kind} ${name.slice(0, 128)}`);
    span.setAttributes({ 'graphql.operation.type': kind, 'countersign.result': result });
    if (name !== undefined) span.setAttribute('graphql.operation.name', name.slice(0, 128));
    finish(span, result === 'none' ? undefined : result);
  }
}

function finish(span: Span, failure: string | undefined): void {
  if (failure !== undefined) {
    span.setAttribute('error.type', failure);
    span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
  }
  span.end();
}

function identityOf(
  end: 'caller' | 'peer' | 'self',
  spiffeId: string | undefined,
  serial: string | undefined,
): Attributes {
  return {
    ...(spiffeId !== undefined && { [`countersign.${end}.spiffe_id`]: spiffeId }),
    ...(serial !== undefined && { [`countersign.${end}.serial`]: serial }),
  };
}

/** Before there is an identity, there is none to tell of. */
function ownIdentity(svids: SvidSource | undefined): Attributes {
  try {
    const svid = svids?.svid();
    return identityOf('self', svid?.spiffeId.toString(), svid?.chain[0]?.serialHex);
  } catch {
    return {};
  }
}

function defaultPort({ protocol }: URL): number {
  return protocol === 'http:' ? 80 : 443;
}

const getter = {
  keys: (headers: object) => Object.keys(headers),
  get: (headers: Readonly<Record<string, string | string[] | undefined>>, name: string) =>
    headers[name],
};

const setter = {
  set(headers: string[], name: string, value: string) {
    headers.push(name, value);
  },
};

/** Counts what became of spans; says once that they cannot be sent, and once that they can again. */
class CountedExporter implements SpanExporter {
  readonly #inner: OTLPExporterBase<ReadableSpan[]>;
  readonly #spans: Counter;
  readonly #log: Log;
  readonly #collector: string;
  #isFailing = false;
  /** Of all that ended, how many are not through yet. */
  pending = 0;

  constructor({ otlp, log, meter }: TracerOptions) {
    this.#inner = new OTLPExporterBase(delegateOf(otlp));
    this.#log = log;
    this.#collector = tracesUrl(otlp.endpoint).origin;
    this.#spans = meter.counter({
      name: 'countersign_spans_total',
      help: 'Spans by what became of them: exported, failed or dropped.',
      labels: ['result'],
    });
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#inner.export(spans, (result) => {
      this.pending -= spans.length;
      const isSent = result.code === ExportResultCode.SUCCESS;
      this.#spans.add(spans.length, { result: isSent ? 'exported' : 'failed' });
      this.#tell(isSent, result.error);
      done(result);
    });
  }

  drop(): void {
    this.#spans.add(1, { result: 'dropped' });
    this.#tell(false, new Error('it does not take them fast enough'));
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  #tell(isSent: boolean, failed: Error | undefined): void {
    // One that only just does not keep up would be told of again and again.
    if (isSent !== this.#isFailing || (isSent && this.pending > maxPending / 2)) return;
    this.#isFailing = !isSent;
    const collector = this.#collector;
    if (isSent) this.#log.info({ collector }, 'spans are exported again');
    else this.#log.warn({ collector, reason: failed?.message }, 'spans cannot be exported');
  }
}

/** Holds ended spans to a bound of our own, so that what is dropped is counted. */
class BoundedProcessor implements SpanProcessor {
  readonly #inner: BatchSpanProcessor;
  readonly #exporter: CountedExporter;

  constructor(inner: BatchSpanProcessor, exporter: CountedExporter) {
    this.#inner = inner;
    this.#exporter = exporter;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & 1) === 0) return;
    if (this.#exporter.pending >= maxPending) {
      this.#exporter.drop();
      return;
    }
    this.#exporter.pending += 1;
    this.#inner.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }
}

/** The exporter as router.yaml has it: OpenTelemetry's own one would add what `OTEL_*` variables say. */
function delegateOf({ endpoint, headers, timeout }: TracerOptions['otlp']) {
  const all = { ...headers, 'content-type': 'application/x-protobuf' };
  return createOtlpHttpExportDelegate(
    {
      ...{ url: tracesUrl(endpoint).href, headers: async () => all },
      ...{ timeoutMillis: timeout, concurrencyLimit: 2, compression: 'none' as const },
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true }),
    },
    ...([ProtobufTraceSerializer, 'otlp_http_span_exporter'] as const),
    ...([TraceExporterMetricsHelper, undefined] as const),
  );
}

/** OTLP/HTTP: `/v1/traces` at a collector that is named by its origin alone. */
function tracesUrl(endpoint: string): URL {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url;
}
