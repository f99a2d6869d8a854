import type { Secret } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { NamedCertificate } from '../prove-named-certificate.ts';

/** Whom a certificate is to name. At least one of them. */
export interface CertificateNames {
  readonly spiffeId?: string | undefined;
  readonly dns: readonly string[];
  /** IPv4 and IPv6 in text. */
  readonly ip: readonly string[];
}

/** An authority of somebody else that signs requests: the one seam behind which Vault, step-ca, ACME and AWS stand. */
export interface Issuer {
  /** For messages: `Vault at "https://vault.internal:8200"`. */
  readonly title: string;
  /** What of the names a request to it may say; all of them unless given. */
  readonly namesInRequest?: (names: CertificateNames) => CertificateNames;
  /**
   * Has a request signed. Whatever comes is checked by the caller: key, names, chain.
   *
   * @throws CountersignError ERR_ISSUER_REFUSED, ERR_ISSUER_UNREACHABLE, ERR_ISSUER_SECRET, ERR_ISSUER_ANSWER
   */
  issue(order: IssuerOrder): Promise<IssuerAnswer>;
  /** When it wishes that a certificate be renewed (RFC 9773); undefined: whenever its holder likes. */
  renewalWish?(held: NamedCertificate, signal: AbortSignal): Promise<RenewalWish | undefined>;
  /** Ends what it keeps alive, such as a session. */
  close?(): void;
}

export interface IssuerOrder {
  readonly names: CertificateNames;
  /** PKCS #10 with these names, DER. The key stays here. */
  readonly csr: Uint8Array;
  /** Wished lifetime; the issuer's default unless given. */
  readonly ttlMs?: number | undefined;
  /** What is to be renewed; it may have ended. */
  readonly held?: NamedCertificate | undefined;
  readonly signal: AbortSignal;
}

export interface IssuerAnswer {
  /** Leaf first; with or without the root. */
  readonly chain: readonly Certificate[];
  /** What the issuer says may be trusted; empty where it says nothing. */
  readonly roots: readonly Certificate[];
}

export interface RenewalWish {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly askAgainMs: number;
}

/** A secret of its file or variable, read at each use, so that whoever changes it need not restart anything. */
export type SecretSource = () => Promise<Secret<string>>;

/** Certificates of a file, read at each use. */
export type RootsSource = () => Promise<readonly Certificate[]>;
