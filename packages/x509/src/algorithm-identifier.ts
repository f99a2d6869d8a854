/** RFC 5280 §4.1.1.2. */
export interface AlgorithmIdentifier {
  readonly oid: string;
  /** DER of the parameters, or undefined where absent. */
  readonly parameters: Uint8Array | undefined;
  readonly raw: Uint8Array;
}
