import type { DerReader } from './der-reader.ts';

/** RFC 5280 §4.1.1.2. */
export interface AlgorithmIdentifier {
  readonly oid: string;
  /** DER of the parameters, or undefined where absent. */
  readonly parameters: Uint8Array | undefined;
  readonly raw: Uint8Array;
}

/** Takes an AlgorithmIdentifier from the cursor. */
export function readAlgorithmIdentifier(reader: DerReader, what: string): AlgorithmIdentifier {
  const start = reader.offset;
  const inner = reader.sequence(what);
  const oid = inner.oid(what);
  const parameters = inner.atEnd ? undefined : inner.any(what);
  inner.end(what);
  return { oid, parameters, raw: reader.since(start) };
}
