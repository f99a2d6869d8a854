/** A certificate chain and its key, kept fresh by whoever writes the files. */
export interface IdentityModel {
  readonly name: string;
  readonly certificate: FileOrText;
  /** Keys are never written into configuration. */
  readonly key: { readonly file: string };
  /** DER of the OCSP response that is stapled with it. */
  readonly staple?: { readonly file: string };
}

/** Who vouches for peers, and whom they have revoked. */
export interface TrustModel {
  readonly name: string;
  /** PEM; each of them vouches for whatever names it signs, SPIFFE IDs of every trust domain included. */
  readonly authorities: FileOrText;
  /** PEM; every certificate below an authority must then be covered by a list, or its own alone. */
  readonly crl?: FileOrText;
  readonly crlScope?: 'chain' | 'leaf';
}

/** A path, absolute or relative to where the gateway runs. */
export type FileOrText = { readonly file: string } | { readonly text: string };
