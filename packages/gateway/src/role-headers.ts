import type { RoleMapping } from '@countersign/authz';
import { isAnonymous, type PeerOf } from '@countersign/mtls';

/** What upstreams are told of a caller beside its name. */
export interface RoleHeaders {
  /** Names and values alternating; a fact that a caller does not have is told by no header. */
  readonly headers: readonly string[];
  /** Lowercase; a caller's own are stripped, whatever it is. */
  readonly names: ReadonlySet<string>;
}

export function roleHeaders(roles: RoleMapping | undefined, peer: PeerOf): RoleHeaders {
  if (roles === undefined) return none;
  const written = Object.entries(roles.headers).filter(([, name]) => name !== undefined);
  if (written.length === 0) return none;
  const names = new Set(written.map(([, name]) => name?.toLowerCase() ?? ''));
  if (isAnonymous(peer)) return { headers: [], names };
  const facts = roles.of(peer);
  const values = {
    roles: facts.roles.length === 0 ? undefined : facts.roles.join(','),
    tenant: facts.tenant,
    rateClass: facts.rateClass,
  };
  const headers = (['roles', 'tenant', 'rateClass'] as const).flatMap((fact) => {
    const [name, value] = [roles.headers[fact], values[fact]];
    return name === undefined || value === undefined ? [] : [name, value];
  });
  return { headers, names };
}

const none: RoleHeaders = { headers: [], names: new Set() };
