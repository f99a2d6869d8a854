import type { Denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import type { SignatureCache } from './signature-cache.ts';
import type { WorkLimits } from './work-budget.ts';

/**
 * A name that the end-entity certificate must carry in its subjectAltName; the subject's common
 * name is never a name.
 * - `dns`: an A-label host name, as RFC 9525 matches it (a whole leftmost wildcard label, no IP
 * address)
 * - `ip`: an IPv4 or IPv6 address without brackets, equal byte for byte
 * - `email`: a mailbox; the local part is equal letter for letter, the host ignores case
 * - `spiffe`: a SPIFFE ID, equal to a URI name character for character
 */
export type ExpectedName =
  | { readonly dns: string }
  | { readonly ip: string }
  | { readonly email: string }
  | { readonly spiffe: string };

/** The EKU that the end entity, and every CA above it that lists any, must allow. */
export type PathPurpose = 'server' | 'client';

/** What policy processing starts from (RFC 5280 §6.1.1 (c), (e) to (g)). */
export interface PolicyInputs {
  /**
   * user-initial-policy-set: dotted OIDs, anyPolicy among them for any. Absent: any. By itself it
   * refuses nothing: it is looked at where an explicit policy is required, here or by a CA.
   */
  readonly initialPolicySet?: readonly string[] | undefined;
  /** initial-explicit-policy: the path must be valid for a policy of the set. Default false. */
  readonly requireExplicitPolicy?: boolean | undefined;
  /** initial-policy-mapping-inhibit. Default false. */
  readonly inhibitPolicyMapping?: boolean | undefined;
  /** initial-any-policy-inhibit: anyPolicy in a certificate stands for nothing. Default false. */
  readonly inhibitAnyPolicy?: boolean | undefined;
}

export interface PathRequest {
  readonly leaf: Certificate;
  /** Untrusted help for building: in any order, with duplicates, strangers and cycles. */
  readonly intermediates: readonly Certificate[];
  /**
   * Trusted keys as certificates, self-signed or not. An anchor must be a sound CA certificate,
   * valid at `at`, and its own constraints (path length, names, EKU, policies) hold for what is
   * below it; its signature is not checked. The leaf itself may be one.
   */
  readonly anchors: readonly Certificate[];
  /** Milliseconds since the epoch; compared in whole seconds, as certificates are written. */
  readonly at: number;
  /** Absent: EKU is not asked for. */
  readonly purpose?: PathPurpose | undefined;
  /** Every one must match. Absent or empty: the name is not checked here. */
  readonly names?: readonly ExpectedName[] | undefined;
  /**
   * Complete and delta lists, direct and indirect, in parts or whole (RFC 5280 §6.3). Given, every
   * certificate but the anchor must be covered by usable lists and be on none of them; a key that
   * signs lists alone is looked for among anchors and intermediates. Absent: revocation is not
   * checked.
   */
  readonly crls?: readonly Crl[] | undefined;
  /**
   * How many intermediates that are not self-issued may stand between leaf and anchor. Absent: no
   * such limit.
   */
  readonly maxDepth?: number | undefined;
  /** Absent: as an empty one, so that policies matter only where a CA on the path requires one. */
  readonly policies?: PolicyInputs | undefined;
  /** Overrides of {@link defaultWorkLimits}. */
  readonly budget?: Partial<WorkLimits> | undefined;
  /**
   * Remembers verified signatures between calls; see {@link SignatureCache}. Absent: nothing is
   * remembered.
   */
  readonly signatures?: SignatureCache | undefined;
}

export interface PathFound {
  readonly ok: true;
  /** Leaf first, the anchor last; the leaf alone where it is itself an anchor. */
  readonly chain: readonly Certificate[];
}

export interface PathRefused extends Denial {
  /** The certificate that the reason is about, as text. */
  readonly subject?: string;
  /** Its place in the path that came furthest: 0 is the leaf. */
  readonly depth?: number;
}

export type PathResult = PathFound | PathRefused;
