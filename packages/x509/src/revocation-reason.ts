/** RFC 5280 §5.3.1, by CRLReason number; 7 is not used. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

const reasonsByNumber = new Map<number, RevocationReason>(
  Object.entries(revocationReasons).map(([reason, number]) => [number, reason as RevocationReason]),
);

export function revocationReasonOf(number: number): RevocationReason | undefined {
  return reasonsByNumber.get(number);
}
