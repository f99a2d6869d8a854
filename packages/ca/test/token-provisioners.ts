import { type KeyObject, sign } from 'node:crypto';

/** The hierarchy and the policy of names under which tokens of others are tried. */
export const tokenHierarchy = `
ca:
  root: { curve: P-256, validity: 87600h }
  intermediate: { services: { curve: P-256, validity: 8760h } }
service_certificates:
  validity: 24h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.example.test']`;

/** RFC 7515 §7.1, ECDSA or RSA as the header's `alg` says; the key is known as `k1`. */
export function signedToken(
  header: { readonly alg: 'ES256' | 'RS256' },
  claims: object,
  key: KeyObject,
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ kid: 'k1', ...header })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}
