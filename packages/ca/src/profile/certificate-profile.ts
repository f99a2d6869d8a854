import type { Extension, KeyKind, KeyUsage } from '@countersign/x509';
import type { NamePattern } from '../policy/name-pattern.ts';
import type { Who } from '../policy/who.ts';

/** What a certificate is like beyond its names: how long it lasts, what it may do. Durations are milliseconds. */
export interface CertificateProfile {
  /** {@link defaultProfileName} for what `service_certificates` says. */
  readonly name: string;
  readonly lifetime: LifetimeProfile;
  readonly keyUsage: readonly KeyUsage[];
  /** Names (`serverAuth`) or dotted OIDs. */
  readonly extKeyUsage: readonly string[];
  /** Beyond those that every certificate has. */
  readonly extensions: readonly Extension[];
  /** Dotted OIDs, for the certificatePolicies extension; none, no extension. */
  readonly policies: readonly string[];
  /** Each an algorithm with the least size; undefined: whatever is certified at all. */
  readonly keys: readonly KeyKind[] | undefined;
  /** Requests that it is for; undefined: those of operators who name it, and of intermediates whose default it is. */
  readonly uses: readonly ProfileUse[] | undefined;
}

export interface LifetimeProfile {
  /** Where none is asked for. */
  readonly validityMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** What grants at most `maxMs`, for messages. */
  readonly maxBy: string;
  /** How long before now it begins; undefined: 60 s, or a twentieth of a shorter lifetime. */
  readonly backdateMs: number | undefined;
  /** It ends up to this much earlier, by chance. */
  readonly jitterMs: number;
  /** What was asked for and would outlive the issuer's chain: cut it, or refuse it. What was not asked for is cut. */
  readonly beyondChain: 'refuse' | 'clamp';
}

export interface ProfileUse extends Who {
  /** Each name of the request is one of them; undefined: any. */
  readonly names: readonly NamePattern[] | undefined;
}

/** The profile that `service_certificates` is, by which it can be asked for. */
export const defaultProfileName = 'default';
