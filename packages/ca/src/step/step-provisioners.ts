import type { ProvisionerConfig } from '../provisioners/provisioner-config.ts';
import { textIn } from '../provisioners/provisioner-file.ts';

/**
 * What step's clients choose from: the provisioners whose tokens they can make, in step-ca's own words. Public keys
 * alone: private ones are with those who make tokens.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE
 */
export async function listProvisioners(
  provisioners: readonly ProvisionerConfig[],
): Promise<readonly object[]> {
  const lists = await Promise.all(provisioners.map(describe));
  return lists.flat();
}

async function describe(provisioner: ProvisionerConfig): Promise<readonly object[]> {
  const { name, type, jwksFile, rootsFile, issuer, audiences } = provisioner;
  // Theirs are known by their names.
  if ((type === 'jwk' || type === 'x5c') && issuer !== name) return [];
  if (type === 'jwk') {
    const { keys } = JSON.parse(await textIn(jwksFile ?? '')) as { keys?: unknown[] };
    return (keys ?? []).map((each) => ({ type: 'JWK', name, key: openPartOf(each) }));
  }
  if (type === 'x5c') {
    const roots = Buffer.from(await textIn(rootsFile ?? '')).toString('base64');
    return [{ type: 'X5C', name, roots }];
  }
  if (type === 'kubernetes') return [{ type: 'K8sSA', name, publicKeys: '' }];
  if (type !== 'oidc') return [];
  const configurationEndpoint = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  return [{ type: 'OIDC', name, clientID: audiences[0], configurationEndpoint }];
}

/** Whatever else stands in the file stays there. */
function openPartOf(jwk: unknown): object {
  const { kty, kid, use, alg, crv, x, y, n, e } = Object(jwk) as Record<string, unknown>;
  return { kty, kid, use, alg, crv, x, y, n, e };
}
