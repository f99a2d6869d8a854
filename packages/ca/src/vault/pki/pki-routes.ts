import type { PkiMount } from '../mounts.ts';
import type { VaultRoute } from '../vault-call.ts';
import { authorityRoutes } from './authority-routes.ts';
import { certificateRoutes } from './certificate-routes.ts';
import { generateRoutes } from './generate-routes.ts';
import { issuerRoutes } from './issuer-routes.ts';
import { roleRoutes } from './role-routes.ts';
import { signFor, type Way } from './sign.ts';
import { issueFields, signFields, verbatimFields } from './sign-fields.ts';
import { tidyRoutes } from './tidy-routes.ts';

/** Below a mount, in the order in which they are looked at. */
export const pkiRoutes: readonly VaultRoute<PkiMount>[] = [
  ...['', 'issuer/:ref/'].flatMap((prefix) => [
    signing(`${prefix}sign/:role`, 'sign', 'Signs a request, by a role.', signFields),
    signing(
      `${prefix}issue/:role`,
      'issue',
      'Makes a key and a certificate for it, by a role.',
      issueFields,
    ),
    signing(
      `${prefix}sign-verbatim`,
      'sign-verbatim',
      'Signs a request with the names that it has.',
      verbatimFields,
    ),
    signing(
      `${prefix}sign-verbatim/:role`,
      'sign-verbatim',
      'The same, for as long as a role says.',
      verbatimFields,
    ),
  ]),
  ...roleRoutes,
  ...authorityRoutes,
  ...certificateRoutes,
  ...generateRoutes,
  ...issuerRoutes,
  ...tidyRoutes,
];

function signing(
  path: string,
  way: Way,
  help: string,
  fields: VaultRoute['fields'] & object,
): VaultRoute<PkiMount> {
  return {
    path,
    help,
    fields,
    on: { update: (context, call, mount) => signFor(context, call, mount, way) },
  };
}
