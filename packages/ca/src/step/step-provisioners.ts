import { CountersignError, type Log, messageOf } from '@countersign/base';
import type { ProvisionerConfig } from '../provisioners/provisioner-config.ts';
import { textIn } from '../provisioners/provisioner-file.ts';

/**
 * What step's clients choose from: the provisioners whose tokens they can make, in step-ca's own words. Public keys
 * alone: private ones are with those who make tokens. One whose file cannot be read is left out, and told to the operator.
 */
export async function listProvisioners(
  provisioners: readonly ProvisionerConfig[],
  log: Log,
): Promise<readonly object[]> {
  const lists = await Promise.all(
    provisioners.map(async (provisioner) => {
      try {
        return await describe(provisioner);
      } catch (thrown) {
        const isOfFile = thrown instanceof CountersignError || thrown instanceof SyntaxError;
        if (!isOfFile) throw thrown;
        const { name } = provisioner;
        log.warn(
          { provisioner: name, err: thrown },
          `provisioner not listed: ${messageOf(thrown)}`,
        );
        return [];
      }
    }),
  );
  return lists.flat();
}

async function describe(provisioner: ProvisionerConfig): Promise<readonly object[]> {
  const { name, type, jwksFile, rootsFile, issuer, audiences } = provisioner;
  // Theirs are known by their names.
  if ((type === 'jwk' || type === 'x5c') && issuer !== name) return [];
  if (type === 'jwk') {
    const { keys } = Object(JSON.parse(await textIn(jwksFile ?? ''))) as { keys?: unknown };
    return (Array.isArray(keys) ? keys : []).map((each) => ({
      type: 'JWK',
      name,
      key: openPartOf(each),
    }));
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
