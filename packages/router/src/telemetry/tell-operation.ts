import type { Denial } from '@countersign/base';
import type { HandlingSurroundings } from '../http/handle-graphql.ts';
import type { Caller } from '../operation/caller.ts';
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
  readonly refusal: (Pick<Denial, 'detail'> & { readonly code: string }) | undefined;
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
  // How long a subscription is open says nothing about the router.
  const isOpenEnded = kind === 'subscription';
  const seconds = isOpenEnded ? undefined : elapsedMs / 1000;
  metrics.operation({ kind, name, caller: by, result, seconds });
  for (const { detail, fields: about } of prepared?.refusals ?? []) {
    log.info({ ...about, caller: by }, `field refused: ${detail}`);
  }
  const isSlow = !isOpenEnded && elapsedMs >= config.slow_operation;
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

const maxDetail = 300;

/** A request that came to no operation: counted, and a line in the log. */
export function tellRefused(
  { metrics, log }: Pick<HandlingSurroundings, 'metrics' | 'log'>,
  { spiffeId, peer }: Caller,
  { code, detail }: Denial,
): void {
  const caller = spiffeId;
  metrics.operation({ kind: 'refused', name: undefined, caller, result: code, seconds: undefined });
  const told = detail.slice(0, maxDetail);
  log.info({ code, caller, serial: peer?.serialHex }, `request refused: ${told}`);
}

/** The answers of an operation that streams, watched to their end. */
export async function* watchedStream<Body extends Partial<GraphqlBody>>(
  around: HandlingSurroundings,
  asking: Asking,
  over: TracedOperation['over'],
  operationName: string | undefined,
  run: (asking: Asking) => AsyncGenerator<Body>,
): AsyncGenerator<Body> {
  const watch = watchOperation(around, asking, over);
  let refusal: EndedOperation['refusal'];
  let [answers, errors] = [0, 0];
  try {
    for await (const body of run({ ...asking, watch })) {
      refusal = refusalOf(body);
      answers += 1;
      errors += body.errors?.length ?? 0;
      yield body;
    }
  } finally {
    const prepared = watch.operation;
    const fields = { over, answers };
    tellOperation(around, asking, { watch, prepared, operationName, refusal, errors, fields });
  }
}

/** Of an operation that never ran. */
function refusalOf({ data, errors }: Partial<GraphqlBody>): EndedOperation['refusal'] {
  const [first] = errors ?? [];
  const code = data === undefined ? first?.extensions?.code : undefined;
  return code === undefined ? undefined : { code: String(code), detail: first?.message ?? '' };
}
