import type { Certificate, Signer } from '@countersign/x509';

/** Whose certificates can be revoked: it signs lists about them, and certificates of responders. */
export interface PublishingIssuer {
  /** As the ledger has it: `root`, or the intermediate's name. */
  readonly name: string;
  readonly certificate: Certificate;
  /** Opens its key, for the root each time; undefined where the key is not here. */
  readonly signer: (() => Promise<Signer>) | undefined;
}
