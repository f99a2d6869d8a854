import type { HeaderMatch } from './request-match.ts';
import type { TextMatch } from './text-match.ts';

/** A filter of Envoy's RBAC: `ALLOW` lets through what one of its policies matches, `DENY` what none does. */
export interface RbacModel {
  readonly action: 'ALLOW' | 'DENY';
  readonly policies: readonly {
    readonly name: string;
    /** Any of these, and any of those. */
    readonly permissions: readonly RbacRule[];
    readonly principals: readonly RbacRule[];
  }[];
}

/** What Envoy's permissions and principals ask alike. */
export type RbacRule =
  | { readonly kind: 'any' }
  | { readonly kind: 'and' | 'or'; readonly rules: readonly RbacRule[] }
  | { readonly kind: 'not'; readonly rule: RbacRule }
  | { readonly kind: 'header'; readonly match: HeaderMatch }
  /** Without the query. */
  | { readonly kind: 'path' | 'serverName'; readonly value: TextMatch }
  /** Absent: whoever the TLS of the listener lets in. */
  | { readonly kind: 'authenticated'; readonly name?: TextMatch }
  | {
      readonly kind: 'network';
      readonly of: 'destination' | 'source' | 'remote';
      readonly network: string;
    }
  | { readonly kind: 'port'; readonly from: number; readonly to: number };
