import type { VaultRoute } from '../vault-call.ts';
import type { AuthRecord, AuthType } from '../vault-objects.ts';
import { approleRoutes } from './approle-routes.ts';
import { certLoginRoutes } from './cert-login-routes.ts';
import { jwtLoginRoutes } from './jwt-login-routes.ts';
import { kubernetesRoutes } from './kubernetes-routes.ts';

/** By the type of a way to log in, what is below its mount. */
export const authRoutes: Readonly<Record<AuthType, readonly VaultRoute<AuthRecord>[]>> = {
  approle: approleRoutes,
  kubernetes: kubernetesRoutes,
  cert: certLoginRoutes,
  jwt: jwtLoginRoutes,
  oidc: jwtLoginRoutes,
};
