import type { TrustBundle, X509Svid } from '@countersign/spiffe';

/** A workload's own certificate and whom it trusts: what an enrolment gives, a renewal replaces and the files hold. */
export interface Identity {
  readonly svid: X509Svid;
  /** Of the identity's own trust domain. */
  readonly bundle: TrustBundle;
  /** Origin of the authority that renews it; absent for one that was issued by hand. */
  readonly ca?: string;
}
