import { denial } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { formatIpAddress, type GeneralName, parseIpAddress } from '@countersign/x509';
import type { StillAllowed } from './live-connections.ts';

/** Who may answer at an address: asked once the chain is verified. */
export type ExpectPeer = (peer: VerifiedPeer) => StillAllowed;

/** Accepts these SPIFFE IDs alone. An empty list accepts nobody. */
export function expectSpiffeId(...ids: readonly string[]): ExpectPeer {
  return function expectOneOf(peer) {
    const shown = peer.spiffeId?.toString();
    if (shown !== undefined && ids.includes(shown)) return { ok: true };
    return denial(
      'ERR_PEER_UNEXPECTED',
      `peer is "${shown ?? 'without a SPIFFE ID'}", expected "${ids.join('" or "')}"`,
      { shown, expected: ids },
    );
  };
}

/** Accepts whoever holds a certificate for this DNS name (RFC 9525, wildcards of one whole left label) or IP address. */
export function expectName(name: { readonly dns: string } | { readonly ip: string }): ExpectPeer {
  const expected = 'dns' in name ? `dns:${name.dns}` : `ip:${name.ip}`;
  const matches = 'dns' in name ? dnsMatcher(name.dns) : ipMatcher(name.ip);
  return function expectNamed(peer) {
    if (peer.names.some(matches)) return { ok: true };
    const shown = peer.names.flatMap(describeHostName);
    return denial(
      'ERR_PEER_UNEXPECTED',
      `peer is ${shown.length === 0 ? 'without DNS names and IP addresses' : shown.join(', ')}, expected ${expected}`,
      { shown, expected },
    );
  };
}

// RFC 9525 §6.3: whole labels, ASCII case ignored; a wildcard stands for the whole left-most label alone.
function dnsMatcher(dns: string): (name: GeneralName) => boolean {
  const wanted = dns.toLowerCase().replace(/\.$/, '');
  const parent = wanted.includes('.') ? wanted.slice(wanted.indexOf('.')) : undefined;
  return (name) => {
    if (name.kind !== 'dns') return false;
    const pattern = name.value.toLowerCase().replace(/\.$/, '');
    return pattern === wanted || (parent !== undefined && pattern === `*${parent}`);
  };
}

// RFC 9525 §6.4: octet by octet.
function ipMatcher(ip: string): (name: GeneralName) => boolean {
  const wanted = parseIpAddress(ip);
  return (name) =>
    name.kind === 'ip' && wanted !== undefined && Buffer.compare(name.bytes, wanted) === 0;
}

function describeHostName(name: GeneralName): string[] {
  if (name.kind === 'dns') return [`dns:${name.value}`];
  if (name.kind === 'ip') return [`ip:${formatIpAddress(name.bytes)}`];
  return [];
}
