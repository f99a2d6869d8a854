import type { KeyDescription } from '../signers/key-store.ts';

/** What the edge keeps. Times are milliseconds since the epoch, durations milliseconds. No secret is among it. */
export interface TokenRecord {
  /** SHA-256 of the token, lowercase hex: its id. */
  readonly hash: string;
  readonly accessor: string;
  readonly policies: readonly string[];
  readonly displayName: string;
  /** Who it speaks for, in the ledger and to policy rules: `approle/web`, `kubernetes/ns/sa`. */
  readonly who: string;
  readonly meta: Readonly<Record<string, string>> | undefined;
  /** The path by which it was made, such as `auth/approle/login`. */
  readonly path: string;
  readonly createdAt: number;
  /** Undefined: it does not end. */
  readonly expiresAt: number | undefined;
  /** No renewal reaches beyond it. */
  readonly maxExpiresAt: number | undefined;
  readonly ttlMs: number;
  readonly explicitMaxMs: number;
  readonly periodMs: number;
  readonly renewable: boolean;
  /** SHA-256 of the token that it ends with. */
  readonly parent: string | undefined;
  /** 0: any number. Counted down. */
  readonly usesLeft: number;
  readonly isLimited: boolean;
  readonly boundCidrs: readonly string[];
}

export interface PolicyRecord {
  readonly name: string;
  readonly text: string;
  readonly version: number;
  readonly modifiedAt: number;
}

export interface MountRecord {
  /** Without slashes at its ends. */
  readonly path: string;
  readonly uuid: string;
  readonly accessor: string;
  readonly description: string;
  /** 0: the server's. */
  readonly defaultLeaseMs: number;
  readonly maxLeaseMs: number;
}

export interface AuthRecord extends MountRecord {
  readonly type: AuthType;
}

export type AuthType = 'approle' | 'kubernetes' | 'cert' | 'jwt' | 'oidc';

/** A certificate of an authority in a mount that was made over the API. */
export interface IssuerRecord {
  readonly id: string;
  /** Empty: none. */
  readonly name: string;
  /** DER, base64. */
  readonly certificate: string;
  /** Empty: its key is not here. */
  readonly keyId: string;
  /** As the ledger names it. */
  readonly ledgerName: string;
  readonly createdAt: number;
  /** It signs no more. */
  readonly revokedAt?: number | undefined;
}

export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  /** Sealed, or where it is to be found. */
  readonly key: KeyDescription;
}

export interface LeaseRecord {
  readonly id: string;
  readonly serialHex: string;
  readonly mount: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface SecretIdRecord {
  /** SHA-256 over mount, role and secret, lowercase hex: its id. */
  readonly hash: string;
  readonly accessor: string;
  readonly role: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cidrs: readonly string[];
  readonly tokenCidrs: readonly string[];
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly ttlMs: number;
  readonly expiresAt: number | undefined;
  /** 0: any number. */
  readonly usesLeft: number;
  readonly isLimited: boolean;
}
