/**
 * Headers by which proxies tell an upstream who the client is. A gateway removes every one of them that a caller
 * sent before it adds its own: an upstream that believes one of these must be able to believe it came from the gateway.
 * A name that ends in `*` stands for every name with that beginning.
 *
 * Who reads which: x-forwarded-client-cert Envoy and Istio; client-cert* RFC 9440; ssl-client-* nginx ingress;
 * x-ssl-* and x-client-* HAProxy, nginx and their many recipes; x-forwarded-tls-client-* Traefik; x-amzn-mtls-*
 * AWS; x-arr-clientcert Azure; cf-client-cert-* Cloudflare; l5d-client-id Linkerd; x-spiffe-* and x-countersign-* ours
 * and our neighbours'.
 */
export const identityHeaders = [
  'x-forwarded-client-cert*',
  'x-forwarded-tls-client-*',
  'x-forwarded-ssl-client-*',
  'client-cert*',
  'x-client-cert*',
  'x-client-dn*',
  'x-client-verify*',
  'x-client-subject*',
  'x-client-issuer*',
  'x-client-serial*',
  'x-client-fingerprint*',
  'x-client-san*',
  'x-client-spiffe*',
  'ssl-client-*',
  'x-ssl-client*',
  'x-ssl-cert*',
  'x-ssl-issuer*',
  'x-ssl-subject*',
  'x-ssl-verif*',
  'x-tls-client-*',
  'x-spiffe-*',
  'x-amzn-mtls-*',
  'x-arr-clientcert*',
  'cf-client-cert*',
  'l5d-client-id',
  'x-peer-certificate*',
  'x-countersign-*',
] as const;

const exact = new Set<string>();
const beginnings: string[] = [];
for (const each of identityHeaders) {
  if (each.endsWith('*')) beginnings.push(each.slice(0, -1));
  else exact.add(each);
}

/**
 * Whether a gateway must not pass this header on from a caller. Case is ignored, and `_` counts as `-`: CGI and WSGI
 * upstreams see `HTTP_X_SPIFFE_ID` for both spellings.
 */
export function isIdentityHeader(name: string): boolean {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return exact.has(plain) || beginnings.some((beginning) => plain.startsWith(beginning));
}
