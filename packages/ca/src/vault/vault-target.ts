import { authRoutes } from './auth/auth-routes.ts';
import { tokenRoutes } from './auth/token-routes.ts';
import { type FoundRoute, findVaultRoute } from './find-vault-route.ts';
import { pkiRoutes } from './pki/pki-routes.ts';
import { sysRoutes } from './sys/sys-routes.ts';
import type { Handler, VaultRoute } from './vault-call.ts';
import type { VaultContext } from './vault-context.ts';
import { noHandler, unsupportedPath, type VaultRefusal } from './vault-refusal.ts';

export interface Target {
  /** Whether there is a mount. */
  readonly ok: boolean;
  /** Of a mount of certificates. */
  readonly provisioner: string | undefined;
  readonly routes: readonly VaultRoute[];
  /** Below the mount. */
  readonly rest: string;
  readonly found: FoundRoute<undefined> | undefined;
  /** Where it is not found. */
  readonly refusal: VaultRefusal;
}

/** Which mount and route a path below `/v1/` is of. */
export async function targetOf(context: VaultContext, path: string): Promise<Target> {
  const [first = '', second = ''] = path.split('/');
  if (first === 'sys') return within(sysRoutes, path.slice('sys/'.length));
  if (first === 'auth' && second === 'token') {
    return within(tokenRoutes, path.slice('auth/token/'.length));
  }
  if (first === 'auth') {
    const below = path.slice('auth/'.length);
    const method = await context.authMethods.at(below);
    if (method === undefined) return nowhere(path);
    const routes = authRoutes[method.type].map((route) => bound(route, method));
    return within(routes, below.slice(method.path.length + 1));
  }
  const mount = await context.mounts.at(path);
  if (mount === undefined) return nowhere(path);
  const routes = pkiRoutes.map((route) => bound(route, mount));
  const target = within(routes, path.slice(mount.path.length + 1));
  return { ...target, provisioner: mount.provisioner };
}

function within(routes: readonly VaultRoute[], rest: string): Target {
  const found = findVaultRoute(routes, rest);
  return { ok: true, provisioner: undefined, routes, rest, found, refusal: unsupportedPath() };
}

function nowhere(path: string): Target {
  return {
    ok: false,
    provisioner: undefined,
    routes: [],
    rest: path,
    found: undefined,
    refusal: noHandler(path),
  };
}

function bound<M>(route: VaultRoute<M>, mount: M): VaultRoute {
  const on = Object.fromEntries(
    Object.entries(route.on).map(([operation, handler]): [string, Handler] => [
      operation,
      (context, call) => handler(context, call, mount),
    ]),
  );
  return { ...route, on };
}
