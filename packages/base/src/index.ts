export { concatBytes, equalBytes, fromBase64, fromHex, toBase64, toHex } from './bytes.ts';
export { type Clock, systemClock } from './clock.ts';
export type { CodeFamily, CodeRow, ExitCode } from './code-row.ts';
export { counted } from './counted.ts';
export {
  makeDirectory,
  type PreparedDirectory,
  prepareDirectory,
  proveReplaceable,
  proveWritable,
  removeMade,
} from './destination.ts';
export { syncDirectory, writeFileDurably } from './durable-file.ts';
export { formatDuration, parseDuration } from './duration.ts';
export { codeFamilies, codeTable, type ErrorCode, isErrorCode } from './error-codes.ts';
export {
  CountersignError,
  type CountersignErrorOptions,
  type Denial,
  denial,
  errorOfDenial,
  type Fields,
  messageOf,
} from './errors.ts';
export { type Log, noLog } from './log.ts';
export { MemoryToSpare } from './memory-to-spare.ts';
export {
  type Counter,
  type Gauge,
  type Histogram,
  type Labels,
  type Meter,
  type MetricSpec,
  noMeter,
} from './meter.ts';
export { nearestWord } from './nearest-word.ts';
export { nodeHttp } from './node-http.ts';
export { Secret } from './secret.ts';
