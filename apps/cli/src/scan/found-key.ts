/** How a private key is written down. */
export type KeyForm =
  | 'PKCS #8'
  | 'encrypted PKCS #8'
  | 'SEC 1'
  | 'PKCS #1'
  | 'DSA'
  | 'OpenSSH'
  | 'JWK'
  | 'private key';

/** A private key where it stands in some bytes. What is kept of it is public: nothing here can be used to sign. */
export interface FoundKey {
  readonly form: KeyForm;
  readonly encoding: 'PEM' | 'DER' | 'JSON' | 'PEM in base64';
  readonly encrypted: boolean;
  /** Of the text, from 1; absent in binary. */
  readonly line?: number;
  /** SHA-256 of its SubjectPublicKeyInfo's DER, lowercase hex; absent where it cannot be told, and `note` says why. */
  readonly spkiHash?: string;
  /** `ECDSA P-256`, `RSA 2048`. */
  readonly algorithm?: string;
  readonly note?: string;
}
