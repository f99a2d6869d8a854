import { CountersignError, toHex } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import { certificatesFrom } from './certificate-series.ts';
import { parseTrustDomain } from './spiffe-id.ts';

/** The keys that are authoritative for a trust domain; it proves SVIDs of that trust domain and of no other. */
export interface TrustBundle {
  readonly trustDomain: string;
  /** Trust anchors; empty where the trust domain does not use X.509-SVIDs. None occurs twice. */
  readonly authorities: readonly Certificate[];
  /** Grows with every change of the content. */
  readonly sequence?: number;
  /** How often a consumer should look again, in seconds. */
  readonly refreshHintSeconds?: number;
  /** Public keys for JWT-SVIDs, each with its `kid`. */
  readonly jwtKeys?: readonly PublicJwk[];
}

/** A public key as a JWK (RFC 7517), with the members of its key type alone. */
export interface PublicJwk {
  readonly kty: string;
  readonly kid?: string;
  readonly alg?: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
  readonly pub?: string;
}

/**
 * The bundle of these authorities; doubles are dropped.
 *
 * @throws CountersignError ERR_SPIFFE_TRUST_DOMAIN; ERR_BUNDLE_EMPTY without any authority
 */
export function makeBundle(trustDomain: string, authorities: readonly Certificate[]): TrustBundle {
  const name = parseTrustDomain(trustDomain);
  if (authorities.length === 0) {
    throw new CountersignError('ERR_BUNDLE_EMPTY', `no authority in the bundle of "${name}"`, {
      fields: { trustDomain: name },
    });
  }
  return { trustDomain: name, authorities: withoutDoubles(authorities) };
}

/**
 * Reads the authorities of a trust domain from PEM text, or from DER certificates one after the other.
 *
 * @throws CountersignError as {@link makeBundle}, and ERR_PEM_*, ERR_DER_*, ERR_CERT_*, ERR_BUNDLE_SYNTAX
 */
export function parseBundle(encoded: string | Uint8Array, trustDomain: string): TrustBundle {
  return makeBundle(trustDomain, certificatesFrom(encoded));
}

/** Whether both trust the same authorities, in whatever order. */
export function sameAuthorities(a: TrustBundle, b: TrustBundle): boolean {
  const known = new Set(a.authorities.map((certificate) => toHex(certificate.raw)));
  return (
    known.size === b.authorities.length &&
    b.authorities.every((certificate) => known.has(toHex(certificate.raw)))
  );
}

export function withoutDoubles(certificates: readonly Certificate[]): readonly Certificate[] {
  const byBytes = new Map<string, Certificate>();
  for (const certificate of certificates) {
    const key = toHex(certificate.raw);
    if (!byBytes.has(key)) byBytes.set(key, certificate);
  }
  return [...byBytes.values()];
}
