import { authRoutes } from './auth/auth-routes.ts';
import { tokenRoutes } from './auth/token-routes.ts';
import { type FoundRoute, findVaultRoute } from './find-vault-route.ts';
import { pkiRoutes } from './pki/pki-routes.ts';
import { sysRoutes } from './sys/sys-routes.ts';
import type { Handler, VaultRoute } from './vault-call.ts';
import type { VaultContext } from './vault-context.ts';
import { noHandler, unsupportedPath, type VaultRefusal } from './vault-refusal.ts';

/** What path help says of a route. */
export type Described = Pick<VaultRoute, 'path' | 'help' | 'fields'>;

export interface Target {
  /** Whether there is a mount. */
  readonly ok: boolean;
  /** Of a mount of certificates. */
  readonly provisioner: string | undefined;
  readonly routes: readonly Described[];
  /** Below the mount. */
  readonly rest: string;
  readonly found: FoundRoute<VaultRoute> | undefined;
  /** Where it is not found. */
  readonly refusal: VaultRefusal;
}

/** Which mount and route a path below `/v1/` is of. */
export async function targetOf(context: VaultContext, path: string): Promise<Target> {
  const [first = '', second = ''] = path.split('/');
  if (first === 'sys') return within(sysRoutes, path.slice('sys/'.length), undefined);
  if (first === 'auth' && second === 'token') {
    return within(tokenRoutes, path.slice('auth/token/'.length), undefined);
  }
  if (first === 'auth') {
    const below = path.slice('auth/'.length);
    const method = await context.authMethods.at(below);
    if (method === undefined) return nowhere(path);
    return within(authRoutes[method.type], below.slice(method.path.length + 1), method);
  }
  const mount = await context.mounts.at(path);
  if (mount === undefined) return nowhere(path);
  const target = within(pkiRoutes, path.slice(mount.path.length + 1), mount);
  return { ...target, provisioner: mount.provisioner };
}

function within<M>(routes: readonly VaultRoute<M>[], rest: string, mount: M): Target {
  const found = findVaultRoute(routes, rest);
  return {
    ...{ ok: true, provisioner: undefined, routes, rest, refusal: unsupportedPath() },
    found: found && { names: found.names, route: bound(found.route, mount) },
  };
}

function nowhere(path: string): Target {
  const refusal = noHandler(path);
  return { ok: false, provisioner: undefined, routes: [], rest: path, found: undefined, refusal };
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
