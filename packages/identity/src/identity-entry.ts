import { ephemeralIdentity } from './ephemeral-identity.ts';
import { filesIdentity, issuedIdentity, workloadApiIdentity } from './issuers/issued-identity.ts';
import { openIdentity } from './open-identity.ts';

/** Where an application begins: each of these gives it an identity that stays fresh. */
export const identity = {
  /** See {@link openIdentity}. */
  open: openIdentity,
  /** See {@link ephemeralIdentity}. */
  ephemeral: ephemeralIdentity,
  /** See {@link issuedIdentity}. */
  issued: issuedIdentity,
  /** See {@link workloadApiIdentity}. */
  workloadApi: workloadApiIdentity,
  /** See {@link filesIdentity}. */
  files: filesIdentity,
};
