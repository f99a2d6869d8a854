import { CountersignError, type Log, messageOf } from '@countersign/base';
import type { ProvisionerConfig } from '../provisioners/provisioner-config.ts';
import { textIn } from '../provisioners/provisioner-file.ts';
import { encryptedKeyOf } from './encrypted-key.ts';

/**
 * What step's clients choose from: the provisioners whose tokens they can make, in step-ca's own words. Public keys
 * alone, but for those under a password that `encrypted_key_file` names. One whose file cannot be read is left out, and told
 * to the operator.
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
        if (!(thrown instanceof CountersignError)) throw thrown;
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

/**
 * The private key of a JWK by its identifier, under its password; undefined where none is kept. A provisioner whose files
 * cannot be read, which the list leaves out, keeps it from nobody else.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE where that of the key cannot be read
 */
export async function encryptedKeyBy(
  provisioners: readonly ProvisionerConfig[],
  keyId: string,
): Promise<string | undefined> {
  let broken: CountersignError | undefined;
  for (const provisioner of provisioners) {
    const { type, encryptedKeyFile, jwksFile = '' } = provisioner;
    if (type !== 'jwk' || encryptedKeyFile === undefined) continue;
    let isWanted = false;
    try {
      const [first] = await openKeysIn(jwksFile);
      isWanted = first?.kid === keyId;
      if (isWanted) return await encryptedKeyOf(provisioner);
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      if (isWanted) broken = thrown;
    }
  }
  if (broken !== undefined) throw broken;
  return undefined;
}

async function describe(provisioner: ProvisionerConfig): Promise<readonly object[]> {
  const { name, type, jwksFile, rootsFile, issuer, audiences } = provisioner;
  // Theirs are known by their names.
  if ((type === 'jwk' || type === 'x5c') && issuer !== name) return [];
  if (type === 'jwk') {
    const encryptedKey = await encryptedKeyOf(provisioner);
    const keys = await openKeysIn(jwksFile ?? '');
    return keys.map((key, i) => ({
      ...{ type: 'JWK', name, key },
      ...(i === 0 && { encryptedKey }),
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

async function openKeysIn(file: string): Promise<readonly OpenKey[]> {
  try {
    const { keys } = Object(JSON.parse(await textIn(file))) as { keys?: unknown };
    return (Array.isArray(keys) ? keys : []).map(openPartOf);
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    // The parser's words would quote the file, and private keys may be in it.
    throw new CountersignError('ERR_PROVISIONER_FILE', `read "${file}": it is no JSON`, {
      fields: { file },
    });
  }
}

type OpenKey = ReturnType<typeof openPartOf>;

/** Whatever else stands in the file stays there. */
function openPartOf(jwk: unknown) {
  const { kty, kid, use, alg, crv, x, y, n, e } = Object(jwk) as Record<string, unknown>;
  return { kty, kid, use, alg, crv, x, y, n, e };
}
