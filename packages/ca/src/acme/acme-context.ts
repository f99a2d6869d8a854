import type { Clock, Denial, Log } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { CertificateRecord } from '../ledger/ledger.ts';
import type { IssueLine } from '../serve/issue-line.ts';
import type { RateLimiter } from '../serve/rate-limiter.ts';
import type { AcmeConfig } from './acme-config.ts';
import type { Identifier } from './acme-objects.ts';
import type { ResourcePatterns } from './acme-resources.ts';
import type { AcmeStore } from './acme-store.ts';
import type { Nonces } from './nonces.ts';
import type { Validators } from './validation/validators.ts';

/** What the edge asks of the authority; nothing is signed, stored as issued or decided anywhere else. */
export interface AcmeAuthority {
  issue(order: AcmeIssue): Promise<AcmeIssued | Denial>;
  /** Why the policy would refuse the names to this account, before anything is validated. */
  judgeNames(names: AcmeNames): Promise<Denial | undefined>;
  /** By the certificate's serial, through the one flow of revocations. */
  revoke(order: {
    readonly serialHex: string;
    readonly reason: number;
    readonly evidence: string;
  }): Promise<{ readonly ok: true } | Denial>;
  /** What becomes of names in a request that no order has, such as addresses of mail. */
  readonly otherNames: 'refuse' | 'ignore';
  certificate(serialHex: string): Promise<CertificateRecord | undefined>;
  isRevoked(serialHex: string): Promise<boolean>;
  /** What was issued for a key lately: to find what an order had before its process died. */
  issuedFor(spkiHash: string, evidence: string): Promise<AcmeIssued | undefined>;
  /** Every way from a leaf to a root, the one that is given first: DER, leaf first, the root left out. */
  chains(chain: readonly Uint8Array[]): readonly (readonly Uint8Array[])[];
}

export interface AcmeNames {
  readonly provisioner: string;
  readonly caller: string;
  readonly identifiers: readonly Identifier[];
  readonly profile: string | undefined;
  readonly spiffeId: string | undefined;
}

export interface AcmeIssue extends AcmeNames {
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly lifetimeMs: number | undefined;
  /** Undefined: now. */
  readonly beginsAt: number | undefined;
  /** Serial of the certificate that it replaces, whose issuer signs it where that may. */
  readonly replaces: string | undefined;
  /** For the subject; undefined: an empty one. */
  readonly commonName: string | undefined;
  /** The order, for the ledger. */
  readonly evidence: string;
}

export interface AcmeIssued {
  readonly ok: true;
  readonly serialHex: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

export interface AcmeContext {
  readonly config: AcmeConfig;
  readonly authority: AcmeAuthority;
  readonly store: AcmeStore;
  /** Who is believed about attestation keys; empty where no device is attested. */
  readonly attestationRoots: readonly Certificate[];
  readonly patterns: ResourcePatterns;
  readonly nonces: Nonces;
  readonly validators: Validators;
  readonly accounts: RateLimiter;
  readonly orders: RateLimiter;
  /** Orders that are to be issued wait here among all others. */
  readonly line: IssueLine;
  /** Work that goes on behind an answer; waited for when the edge closes. */
  readonly inBackground: (work: Promise<void>) => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Log;
}
