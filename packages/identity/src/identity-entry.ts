import { ephemeralIdentity } from './ephemeral-identity.ts';
import { openIdentity } from './open-identity.ts';

/** Where an application begins: each of these gives it an identity that stays fresh. */
export const identity = {
  /** See {@link openIdentity}. */
  open: openIdentity,
  /** See {@link ephemeralIdentity}. */
  ephemeral: ephemeralIdentity,
};
