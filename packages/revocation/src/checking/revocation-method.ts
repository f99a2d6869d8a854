import type { PeerMeeting, RevocationStatus, VerifiedPeer } from '@countersign/spiffe';

export const methodNames = ['feed', 'crl', 'ocsp', 'staple', 'lifetime'] as const;
export type MethodName = (typeof methodNames)[number];

/** One way of knowing who is revoked. {@link RevocationChecks} asks several and takes the strictest answer. */
export interface RevocationMethod {
  readonly name: MethodName;
  /** What is known now; never throws for what a peer or a server sent. */
  check(peer: VerifiedPeer): RevocationStatus;
  /** As in `RevocationSource`, without a bound in time: the caller has one for all methods together. */
  prepare?(peer: VerifiedPeer, met: PeerMeeting): Promise<void> | undefined;
  /** As in `RevocationSource`. */
  shownUntil?(peer: VerifiedPeer): number | undefined;
  /** Tells when `check` may answer differently. */
  onChange?(listener: () => void): () => void;
  /** For the status page: what this method goes by, and how fresh that is. Nothing in it is secret. */
  report(): Readonly<Record<string, unknown>>;
  /** Ends what it keeps running. Never rejects. */
  stop?(): Promise<void>;
}
