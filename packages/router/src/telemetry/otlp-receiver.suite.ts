import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import protobuf from 'protobufjs';

/** What is read of opentelemetry-proto's `trace_service.proto` and what it imports, by the official field numbers. */
const { root } = protobuf.parse(`
syntax = "proto3";
message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; }
message InstrumentationScope { string name = 1; string version = 2; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
  SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
  repeated KeyValue attributes = 9; Status status = 15;
}
enum SpanKind { SPAN_KIND_UNSPECIFIED = 0; INTERNAL = 1; SERVER = 2; CLIENT = 3; PRODUCER = 4; CONSUMER = 5; }
message Status { string message = 2; int32 code = 3; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
`);
const request = root.lookupType('ExportTraceServiceRequest');

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: string;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly service: unknown;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** Of each export. */
  readonly headers: IncomingHttpHeaders[];
  /** What was received, as it was sent. */
  readonly bodies: Buffer[];
  /** How further exports are answered; `never` leaves them without an answer. */
  answer: number | 'never';
  until(count: number): Promise<void>;
  close(): Promise<void>;
}

/** A receiver of OTLP over HTTP that reads what it gets by the official definitions. */
export async function otlpReceiver(): Promise<OtlpReceiver> {
  const waiting = new Set<() => void>();
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    received.headers.push(incoming.headers);
    received.bodies.push(body);
    if (received.answer === 'never') return;
    if (received.answer === 200 && incoming.url === '/v1/traces')
      received.spans.push(...spansOf(body));
    response.writeHead(received.answer, { 'content-type': 'application/x-protobuf' }).end();
    for (const each of waiting) each();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const received: OtlpReceiver = {
    url: `http://127.0.0.1:${port}`,
    ...{ spans: [], headers: [], bodies: [], answer: 200 },
    async until(count) {
      const signal = AbortSignal.timeout(30_000);
      while (received.spans.length < count) {
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    },
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return received;
}

interface Attribute {
  readonly key: string;
  readonly value?: Readonly<Record<string, unknown>>;
}

interface Exported {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly Attribute[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly Record<string, unknown>[] }[];
  }[];
}

function spansOf(body: Buffer): ReceivedSpan[] {
  const decoded = request.toObject(request.decode(body), { longs: String, enums: String });
  return ((decoded as Exported).resourceSpans ?? []).flatMap(({ resource, scopeSpans }) => {
    const service = attributesOf(resource?.attributes)['service.name'];
    const spans = (scopeSpans ?? []).flatMap((each) => each.spans ?? []);
    return spans.map((span) => ({
      traceId: hexOf(span.traceId),
      spanId: hexOf(span.spanId),
      parentSpanId: hexOf(span.parentSpanId),
      name: String(span.name),
      kind: String(span.kind),
      status: (span.status ?? {}) as ReceivedSpan['status'],
      attributes: attributesOf(span.attributes as readonly Attribute[]),
      service,
    }));
  });
}

function attributesOf(all: readonly Attribute[] = []): Record<string, unknown> {
  return Object.fromEntries(all.map(({ key, value }) => [key, Object.values(value ?? {})[0]]));
}

function hexOf(bytes: unknown): string {
  return bytes === undefined ? '' : Buffer.from(bytes as Uint8Array).toString('hex');
}
