/** What a stranger's document may cost. Over any of them: ERR_DER_LIMIT. */
export interface DerLimits {
  /** Of the whole document. */
  readonly maxBytes: number;
  /** Of nested constructed elements, those inside an extension's value included. */
  readonly maxDepth: number;
  /** Tag-length-value triples, those inside extension values counted once more. */
  readonly maxElements: number;
}

export const certificateLimits: DerLimits = {
  maxBytes: 256 * 1024,
  maxDepth: 24,
  maxElements: 40_000,
};

/** A list of a million entries is some 40 MB. */
export const crlLimits: DerLimits = {
  maxBytes: 64 * 1024 * 1024,
  maxDepth: 24,
  maxElements: 16_000_000,
};
