import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { ephemeralAuthority, parseCaConfig, serveAuthority } from '@countersign/ca';
import { freePort, startTestDns } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';

export interface OwnDoors {
  readonly url: string;
  readonly rootFile: string;
  readonly directory: string;
  /** Where its ACME door looks for answers to http-01, and to tls-alpn-01. */
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly hmac: string;
  stop(): Promise<void>;
}

export const rootToken = 'a-root-token-for-tests';

/** A Countersign authority with its doors for clients of Vault and ACME open. */
export async function startOwnDoors(): Promise<OwnDoors> {
  const directory = await mkdtemp(join(tmpdir(), 'own-doors-'));
  const file = (name: string) => join(directory, name);
  const hmac = Buffer.alloc(32, 7).toString('base64url');
  await writeFile(file('root.token'), `${rootToken}\n`, { mode: 0o600 });
  await writeFile(file('external.key'), hmac, { mode: 0o600 });
  const dns = await startTestDns();
  const [httpPort, tlsPort] = [await freePort(), await freePort()];
  const text = `
ca:
  root: { curve: P-256, validity: 8760h, pathLenConstraint: 1 }
  intermediate: { services: { curve: P-256, validity: 4380h } }
service_certificates:
  validity: 24h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["**.test", "localhost"]
    allow_ip_san: true
api: { names: [localhost], address: 127.0.0.1 }
vault:
  mounts: { pki: { intermediate: services } }
  tokens: [{ name: ops, token_file: "${file('root.token')}", policies: [root] }]
acme:
  external_account_required: true
  external_accounts: [{ kid: kid-1, key_file: "${file('external.key')}" }]
  profiles: { mesh: { spiffe_id: "spiffe://example.com/host/{name}" } }
  blocked_domains: [blocked.test]
  validation: { http_port: ${httpPort}, tls_alpn_port: ${tlsPort}, resolvers: ["${dns.address}"], allow: [127.0.0.0/8] }
`;
  const authority = await ephemeralAuthority({
    ...{ config: parseCaConfig(text, 'ca.yaml'), clock: systemClock },
  });
  const served = await serveAuthority({
    ...{ authority, port: 0, dataDir: directory, clock: systemClock, log: noLog, meter: noMeter },
  });
  const rootFile = file('roots.pem');
  const { authorities } = await authority.bundle();
  await writeFile(rootFile, authorities.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''));
  return {
    ...{
      url: `https://localhost:${new URL(served.url).port}`,
      rootFile,
      directory,
      httpPort,
      tlsPort,
      hmac,
    },
    async stop() {
      await served.close();
      await authority.close();
      await dns.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
