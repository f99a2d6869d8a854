import type { VerifiedPeer } from '@countersign/spiffe';
import type { TokenClaims } from '../claims/token-verifier.ts';

/** Who asks, as far as anybody proved it. */
export interface Caller {
  /** Undefined: a stranger. */
  readonly spiffeId: string | undefined;
  readonly peer: VerifiedPeer | undefined;
  /** Roles of the configuration that its identity holds. */
  readonly roles: ReadonlySet<string>;
  /** Claims of a token that was verified, if it showed one. */
  readonly claims: TokenClaims | undefined;
}

export const stranger: Caller = {
  spiffeId: undefined,
  peer: undefined,
  roles: new Set(),
  claims: undefined,
};

/** Tells callers apart, where what one may see must not reach another. */
export function callerKey({ spiffeId, claims }: Caller): string {
  if (claims === undefined) return spiffeId ?? '';
  return `${spiffeId ?? ''} ${JSON.stringify([claims.subject, ...[...claims.scopes].sort()])}`;
}

/** A SPIFFE ID, or its beginning and `*`. */
export const principalPattern = /^(spiffe:\/\/[a-z0-9._-]+(\/[a-zA-Z0-9._/-]*)?\*?|\*)$/;

/** Whether an identity is one of these: exactly, or by its beginning where the pattern ends in `*`. */
export function matchesPrincipal(
  spiffeId: string | undefined,
  patterns: readonly string[],
): boolean {
  if (spiffeId === undefined) return false;
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? spiffeId.startsWith(pattern.slice(0, -1)) : spiffeId === pattern,
  );
}
