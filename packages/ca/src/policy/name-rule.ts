import type { KeyKind } from '@countersign/x509';
import type { CertificateNames } from '../certificate-names.ts';
import type { Condition } from './condition.ts';
import type { NamePattern } from './name-pattern.ts';
import type { Requester, Who } from './who.ts';

/** An entry of `policy.rules`: who may get which names, and who must not. */
export interface NameRule extends Who {
  readonly name: string;
  readonly when: Condition | undefined;
  /** Names that it admits. */
  readonly allow: readonly NamePattern[] | undefined;
  /** Names that it refuses, whatever other rules admit. */
  readonly deny: readonly NamePattern[] | undefined;
}

/** What rules are asked about. */
export interface RuleQuestion {
  readonly names: CertificateNames;
  readonly requester: Requester;
  /** The profile that is asked for by name. */
  readonly profile?: string | undefined;
  /** Of the key. Undefined where it is not known yet: a token is made before its key. */
  readonly kind: KeyKind | undefined;
  /** 0 where none is asked for; undefined where it is not known yet. */
  readonly ttlMs: number | undefined;
  readonly at: number;
}
