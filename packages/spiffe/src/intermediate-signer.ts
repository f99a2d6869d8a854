import type { Certificate } from '@countersign/x509';

/** Another authority that makes ours its subordinate: Vault, AWS Private CA, or somebody who carries files. */
export interface IntermediateSigner {
  /** For messages: `Vault at "https://vault.internal:8200"`. */
  readonly title: string;
  /**
   * Has the request signed; undefined where the answer is not there yet, such as a file that has to be carried back.
   * Whatever comes is compared with the order by who asked.
   */
  sign(order: IntermediateOrder): Promise<IntermediateAnswer | undefined>;
  /** Ends what it keeps alive, such as a session. */
  close?(): void;
}

export interface IntermediateOrder {
  /** PKCS #10 of the authority's key, with the constraints that are asked for; DER. */
  readonly csr: Uint8Array;
  /** Common name of its subject. */
  readonly commonName: string;
  /** As certificates below it name its key; it has to stay the same. */
  readonly subjectKeyId: Uint8Array | undefined;
  /** Intermediates below it. */
  readonly pathLen: number;
  /** Whole seconds, milliseconds since the epoch. */
  readonly notAfter: number;
  readonly signal: AbortSignal;
}

export interface IntermediateAnswer {
  /** Its certificate first, then those above it; with or without the root. */
  readonly chain: readonly Certificate[];
  /** What the other authority says may be trusted; empty where it says nothing. */
  readonly roots: readonly Certificate[];
}
