import type { IntentRecord, TokenRecord } from './ledger.ts';

/** Text that all processes over a ledger share. It changes as a whole, by whoever has seen the version before. */
export interface SharedDocument {
  readonly name: string;
  /** 1, 2, 3, … */
  readonly version: number;
  readonly body: string;
}

export interface DocumentChange {
  readonly name: string;
  /** The version that it replaces; 0 where there is none yet. */
  readonly replaces: number;
  /** Of a copy that is put back: the version that it gets is newer than this one, too. */
  readonly newerThan?: number | undefined;
  readonly body: string;
  /** For the audit trail: what was done to what, by whom. */
  readonly said: {
    /** Default `rotation`. */
    readonly what?: 'rotation' | 'list' | 'entries' | 'tokens';
    readonly by: string;
    readonly asked: string;
    readonly subject: string;
    readonly detail: string;
  };
  /** Whether what was reported of trust bundles is of no use any more. */
  readonly forgetsHolders: boolean;
}

/** What whoever showed a certificate said of the trust bundle that it holds. */
export interface BundleReport {
  /** Of the certificate that was shown. */
  readonly serialHex: string;
  /** The process, where it holds a lease; empty for a workload. */
  readonly instance: string;
  /** `bundleDigest` of `spiffe`. */
  readonly digest: string;
}

export interface BundleHolder {
  /** Position of the intent of its certificate. */
  readonly intent: number;
  readonly instance: string;
  readonly digest: string;
  /** When it was last heard. */
  readonly at: number;
}

/** A certificate that is neither over nor revoked, and what its holder said without a lease. */
export interface LiveCertificate extends Omit<IntentRecord, 'kind'> {
  readonly holder: Omit<BundleHolder, 'intent' | 'instance'> | undefined;
}

export interface TokenPage {
  readonly tokens: readonly TokenRecord[];
  /** The position that the next page begins behind; undefined at the end. */
  readonly next: number | undefined;
}

export interface LivePage {
  readonly certificates: readonly LiveCertificate[];
  /** The position that the next page begins behind; undefined at the end. */
  readonly next: number | undefined;
}
