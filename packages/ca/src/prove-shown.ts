import { equalBytes } from '@countersign/base';
import { verifyPeer } from '@countersign/spiffe';
import type { Certificate } from '@countersign/x509';
import type { Authority } from './authority.ts';

/**
 * Whether what a TLS client has shown is a certificate of this authority, with a SPIFFE ID or without. Whether it is
 * revoked, the ledger knows.
 *
 * @param chain leaf first, at least that
 */
export function proveShown(authority: Authority, chain: readonly Certificate[], at: number) {
  return verifyPeer({
    chain: [...chain, ...aboveOf(chain, authority)],
    bundles: {
      bundle: (domain) =>
        domain === authority.config.trustDomain ? authority.bundle() : undefined,
      authorities: () => authority.bundle().authorities,
    },
    ...{ at, purpose: 'client', profile: 'any' },
  });
}

const mostLevels = 8;

/** A resumed session shows the leaf alone, and many clients send no more; what is above one of ours is known here. */
function aboveOf(shown: readonly Certificate[], authority: Authority): Certificate[] {
  const own = authority.publishers().map((each) => each.certificate);
  const found: Certificate[] = [];
  let below = shown.slice(0, 1);
  while (below.length > 0 && found.length < mostLevels) {
    const issuers = below.map((each) => each.issuer.raw);
    below = own.filter(
      (each) => !found.includes(each) && issuers.some((name) => equalBytes(name, each.subject.raw)),
    );
    found.push(...below);
  }
  return found.slice(0, mostLevels);
}
