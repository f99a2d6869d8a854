import type { Denial } from '@countersign/base';
import type { TrustBundle, VerifiedPeer } from '@countersign/spiffe';
import type { JoinToken } from '@countersign/wire';
import type { CaConfig } from '../ca-config.ts';
import type { Ledger } from '../ledger/ledger.ts';

/**
 * What the API server asks of an authority; `Authority` is one. Refusals are values; a throw is a defect or a broken
 * ledger. Ordering revocations, leases and the feed go to the ledger itself.
 */
export interface ServedAuthority {
  readonly config: CaConfig;
  readonly ledger: Ledger;
  /** Roots of our own trust domain. */
  bundle(): TrustBundle;
  intermediates(): readonly {
    readonly name: string;
    readonly fingerprint: string;
    readonly notAfter: number;
  }[];

  /** Names come from the token; the request's own must be among them. */
  enrol(request: {
    readonly token: JoinToken;
    readonly csr: Uint8Array;
    readonly ttlMs?: number;
  }): Promise<IssuedAnswer | Denial>;
  /** The names of the peer's certificate. */
  renew(request: {
    readonly peer: VerifiedPeer;
    readonly csr: Uint8Array;
    readonly ttlMs?: number;
  }): Promise<IssuedAnswer | Denial>;
  /** By order of whoever holds the state. */
  issue(request: {
    readonly csr: Uint8Array;
    readonly spiffeId?: string;
    readonly dns: readonly string[];
    readonly ip: readonly string[];
    readonly ttlMs?: number;
  }): Promise<IssuedAnswer | Denial>;
  /**
   * The authority's own TLS certificate, through the same flow: SPIFFE ID `spiffe://<trust domain>/countersign/ca`,
   * these names beside it whatever `san_policies` say of services; name constraints hold.
   */
  issueOwn(request: {
    readonly csr: Uint8Array;
    readonly dns: readonly string[];
    readonly ip: readonly string[];
    readonly ttlMs: number;
  }): Promise<IssuedAnswer | Denial>;
  createToken(request: {
    readonly spiffeId?: string;
    readonly dns: readonly string[];
    readonly ip: readonly string[];
    readonly ttlMs?: number;
  }): Promise<
    { readonly ok: true; readonly token: JoinToken; readonly expiresAt: number } | Denial
  >;
}

export interface IssuedAnswer {
  readonly ok: true;
  readonly spiffeId: string | undefined;
  readonly serialHex: string;
  readonly notAfter: number;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}
