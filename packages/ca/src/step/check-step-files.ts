import type { CaConfig } from '../ca-config.ts';

/**
 * Reads what `encrypted_key_file` of each provisioner names, as step's clients are given it: the server itself leaves one out
 * that it cannot read, and goes on.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE of the first that is missing, or is no JWE under a password
 */
export async function checkStepFiles({ provisioners }: CaConfig): Promise<void> {
  const { encryptedKeyOf } = await import('./encrypted-key.ts');
  for (const provisioner of provisioners) await encryptedKeyOf(provisioner);
}
