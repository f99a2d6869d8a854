import { denial } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { matchNames } from '@countersign/x509';
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

/** Accepts whoever holds a certificate for this DNS name or IP address, by the rules of path validation (RFC 9525). */
export function expectName(name: { readonly dns: string } | { readonly ip: string }): ExpectPeer {
  return function expectNamed({ leaf }) {
    const wrong = matchNames(leaf, [name]);
    if (wrong === undefined) return { ok: true };
    return denial('ERR_PEER_UNEXPECTED', wrong.detail, { ...wrong.fields, reason: wrong.code });
  };
}
