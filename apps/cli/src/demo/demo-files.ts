import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DemoDirectory } from './demo-directory.ts';

export const trustDomain = 'demo.internal';

/** The workloads of the story, and what they may be called besides their SPIFFE IDs. */
export const workloads = ['orders', 'payments', 'gateway', 'shop', 'reports'] as const;
export type WorkloadName = (typeof workloads)[number];

export function spiffeIdOf(name: WorkloadName): string {
  return `spiffe://${trustDomain}/${name}`;
}

export function dnsNameOf(name: WorkloadName): string {
  return `${name}.${trustDomain}`;
}

/** Configuration that a reader may open, change and try again by hand. */
export async function writeAuthorityConfig(directory: DemoDirectory): Promise<string> {
  return write(
    directory.file('ca.yaml'),
    `# The demo's certificate authority.
ca:
  root:
    algorithm: ECDSA
    curve: P-256
    validity: 720h
    pathLenConstraint: 1
  intermediate:
    services:
      algorithm: ECDSA
      curve: P-256
      validity: 168h
      pathLenConstraint: 0
      nameConstraints:
        permitted: [.${trustDomain}]
service_certificates:
  validity: 1h
  max_validity: 24h
  san_policies:
    require_spiffe: true
    spiffe_trust_domain: ${trustDomain}
    allowed_dns_patterns: ['*.${trustDomain}']
    allow_ip_san: true
`,
  );
}

/** Who may call what: the schema is Istio's. */
export async function writePolicies(directory: DemoDirectory): Promise<string> {
  return write(
    directory.file('policies.yaml'),
    `# Whoever is not named here is denied.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: orders-callers
spec:
  action: ALLOW
  rules:
    - from:
        - source:
            principals: [${trustDomain}/shop, ${trustDomain}/payments]
      to:
        - operation:
            methods: [GET]
            paths: [/orders, /orders/*]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: payments-callers
spec:
  action: ALLOW
  rules:
    - from:
        - source:
            principals: [${trustDomain}/shop]
      to:
        - operation:
            methods: [GET]
            paths: [/payments, /payments/*]
`,
  );
}

export interface UpstreamUrls {
  readonly orders: string;
  readonly payments: string;
}

export async function writeGatewayConfig(
  directory: DemoDirectory,
  authorityUrl: string,
  upstreams: UpstreamUrls,
): Promise<string> {
  const route = (name: keyof UpstreamUrls) => `  - match: { pathPrefix: /${name} }
    upstream: { url: '${upstreams[name]}', spiffeId: ${spiffeIdOf(name)} }
`;
  return write(
    directory.file('gateway.yaml'),
    `# The demo's gateway: terminates mTLS, asks the policies, originates mTLS.
listen: { address: 127.0.0.1, port: 0 }
admin: { address: 127.0.0.1, port: 0 }
ca: ${authorityUrl}
policies: [policies.yaml]
routes:
${route('orders')}${route('payments')}`,
  );
}

async function write(path: string, text: string): Promise<string> {
  await writeFile(path, text);
  return path;
}

export function logFile(directory: DemoDirectory, name: string): string {
  return join(directory.path, 'log', `${name}.log`);
}
