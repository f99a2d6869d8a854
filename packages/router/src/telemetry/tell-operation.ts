import type { Denial } from '@countersign/base';
import type { HandlingSurroundings } from '../http/handle-graphql.ts';
import type { PreparedOperation } from '../operation/prepare-operation.ts';
import type { Asking, GraphqlBody } from '../router-engine.ts';
import { OperationWatch, type TracedOperation } from './operation-watch.ts';

/** An operation begins. */
export function watchOperation(
  { clock, tracer }: HandlingSurroundings,
  { caller, headers }: Asking,
  over: TracedOperation['over'],
): OperationWatch {
  return new OperationWatch(clock, tracer?.begin({ caller, headers, over }));
}

export interface EndedOperation {
  readonly watch: OperationWatch;
  /** Undefined: it was refused before it was prepared. */
  readonly prepared: PreparedOperation | undefined;
  readonly operationName: string | undefined;
  readonly refusal: Denial | undefined;
  readonly errors: number;
  /** Further fields of the log line. */
  readonly fields?: object;
}

/** An operation is over: its figures, its span, its line in the log. A slow one's says where the time went. */
export function tellOperation(
  { metrics, log, config }: HandlingSurroundings,
  { caller }: Asking,
  { watch, prepared, operationName, refusal, errors, fields }: EndedOperation,
): void {
  const kind = prepared?.kind ?? 'refused';
  const result = refusal?.code ?? (errors === 0 ? 'none' : 'errors');
  const name = prepared?.name ?? undefined;
  const elapsedMs = watch.end({ name, kind, result });
  const by = caller.spiffeId;
  metrics.operation({ kind, name, caller: by, result, seconds: elapsedMs / 1000 });
  for (const { detail, fields: about } of prepared?.refusals ?? []) {
    log.info({ ...about, caller: by }, `field refused: ${detail}`);
  }
  const isSlow = elapsedMs >= config.slow_operation;
  const line = {
    ...{ operation: name ?? operationName, kind, ...fields },
    ...{ caller: by, serial: caller.peer?.serialHex },
    ...{ elapsedMs: Math.round(elapsedMs * 10) / 10, errors },
    ...(watch.traceId !== undefined && { traceId: watch.traceId }),
    ...(refusal !== undefined && { code: refusal.code, reason: refusal.detail }),
    ...(isSlow && { fetches: watch.fetches }),
  };
  if (isSlow) log.warn(line, 'slow operation');
  else log.info(line, 'operation');
}

/** The answers of an operation that streams, watched to their end. */
export async function* watchedStream<Body extends Partial<GraphqlBody>>(
  around: HandlingSurroundings,
  asking: Asking,
  over: TracedOperation['over'],
  run: (asking: Asking) => AsyncGenerator<Body>,
): AsyncGenerator<Body> {
  const watch = watchOperation(around, asking, over);
  let result = 'none';
  try {
    for await (const body of run({ ...asking, watch })) {
      if (body.errors !== undefined) result = codeOfRefusal(body) ?? 'errors';
      yield body;
    }
  } finally {
    const { name, kind = 'refused' } = watch.operation ?? {};
    const elapsedMs = watch.end({ name, kind, result });
    const seconds = kind === 'subscription' ? undefined : elapsedMs / 1000;
    around.metrics.operation({ kind, name, caller: asking.caller.spiffeId, result, seconds });
  }
}

/** Of an operation that never ran. */
function codeOfRefusal({ data, errors }: Partial<GraphqlBody>): string | undefined {
  const code = data === undefined ? errors?.[0]?.extensions?.code : undefined;
  return code === undefined ? undefined : String(code);
}
