import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileDurably } from '@countersign/base';
import type { Identity } from '@countersign/identity';
import type { X509Svid } from '@countersign/spiffe';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import type { CertificateAuthority } from './certificate-authority.ts';

/**
 * A certificate and key for a subgraph, or any other service of the authority's trust domain.
 *
 * @param ttlSecs its lifetime in whole seconds
 * @throws CountersignError ERR_PROVIDER_OPTIONS, ERR_POLICY_*
 */
export async function issueSubgraphSvid(
  ca: CertificateAuthority,
  service: string,
  namespace: string,
  ttlSecs: number,
): Promise<X509Svid> {
  const identity: Identity = await ca.issue({ serviceName: service, namespace, ttlSecs });
  return identity.svid;
}

/**
 * Writes an SVID as PEM, each file in one step and the key first: the chain 0644, the key 0600. A reader in between has
 * the new key with the old certificate; `writeIdentity` of `@countersign/identity` swaps both at once. Directories that
 * are not there are made, for the owner alone.
 */
export async function exportSvid(svid: X509Svid, certPath: string, keyPath: string): Promise<void> {
  for (const path of [keyPath, certPath]) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  }
  await writeFileDurably(keyPath, encodePrivateKey(svid.privateKey), { mode: 0o600 });
  const chain = svid.chain.map((certificate) => encodePem('CERTIFICATE', certificate.raw));
  await writeFileDurably(certPath, chain.join(''));
}
