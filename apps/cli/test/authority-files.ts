/** A small authority for `example.com`, with every policy that the tests lean on. */
export function authorityYaml(): string {
  return `ca:
  root: { curve: P-256, validity: 720h, pathLenConstraint: 1 }
  intermediate:
    services: { curve: P-256, validity: 168h, nameConstraints: { permitted: [.prod.example.com] } }
service_certificates:
  validity: 1h
  max_validity: 24h
  san_policies:
    require_spiffe: true
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['*.prod.example.com']
    allow_ip_san: true
`;
}

export function id(name: string): string {
  return `spiffe://example.com/${name}`;
}

/** The last line of an error is its code. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
