import type { FoundKey } from './found-key.ts';

/** Why a private key should not be where it is. */
export type Exposure =
  | { readonly kind: 'readable-by-others'; readonly mode: string }
  | { readonly kind: 'readable-by-group'; readonly mode: string }
  | { readonly kind: 'tracked-by-git'; readonly repository: string }
  | { readonly kind: 'in-image'; readonly image: string }
  | { readonly kind: 'in-archive'; readonly archive: string };

export interface LocatedKey extends FoundKey {
  /** Of the file; entries of archives after "!", outermost first: `image.tar!blobs/sha256/ab…!etc/tls/key.pem`. */
  readonly path: string;
  /** Empty: it is where it may be. */
  readonly exposures: readonly Exposure[];
}

/** Something that the scan could not look into. */
export interface Unread {
  readonly path: string;
  readonly reason: string;
  readonly code: string;
}

export interface ScanResult {
  /** In the order of the walk. */
  readonly keys: readonly LocatedKey[];
  readonly unread: readonly Unread[];
  readonly files: number;
  readonly bytes: number;
}
