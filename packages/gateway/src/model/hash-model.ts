/** What of a request says which endpoint takes it. */
export interface HashModel {
  readonly of: HashSource;
  /** Those after it are not looked at where it is there. */
  readonly isEnough?: boolean;
}

export type HashSource =
  | { readonly kind: 'header' /** Lowercase. */; readonly name: string }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'source-address' }
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** A caller without it is given one that lives so long, 0 is to the end of its session; absent: it is not. */
      readonly ttlMs?: number;
      readonly path?: string;
    };
