import { parseIp } from '../rules/ip-block.ts';

/**
 * The client that an `X-Forwarded-For` header tells of, as Envoy takes it: the address before those of the trusted
 * proxies, counted from the right; undefined where the list is too short or that element is no bare address. The
 * caller then takes the other end of the connection.
 *
 * @param values of the header's lines, joined by commas
 * @param skipped elements at the right that are of trusted proxies
 */
export function clientAddress(values: string, skipped: number): string | undefined {
  const elements = values.split(',');
  const element = elements[elements.length - 1 - skipped]?.trim();
  if (element === undefined || parseIp(element) === undefined) return undefined;
  return element;
}

/**
 * Who began a request. An edge believes as many proxies as the mesh says are in front of it, and none by default; a
 * sidecar believes whoever talks to it, for in a mesh that is another proxy.
 */
export function remoteAddress(
  request: {
    /** Of `X-Forwarded-For`; undefined where there is none. */
    readonly forwardedFor: string | undefined;
    readonly sourceIp: string | undefined;
  },
  role: { readonly kind: 'edge'; readonly trustedProxies: number } | { readonly kind: 'sidecar' },
): string | undefined {
  const { forwardedFor, sourceIp } = request;
  if (forwardedFor === undefined) return sourceIp;
  if (role.kind === 'sidecar') return clientAddress(forwardedFor, 0) ?? sourceIp;
  if (role.trustedProxies === 0) return sourceIp;
  return clientAddress(forwardedFor, role.trustedProxies - 1) ?? sourceIp;
}
