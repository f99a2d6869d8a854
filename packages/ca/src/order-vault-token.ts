import type { createVaultToken } from './vault/create-vault-token.ts';

/** {@link createVaultToken}, whose room is loaded for it alone. */
export const orderVaultToken: typeof createVaultToken = async (request, parts) => {
  const room = await import('./vault/create-vault-token.ts');
  return await room.createVaultToken(request, parts);
};
