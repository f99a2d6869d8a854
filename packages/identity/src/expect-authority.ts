import { denial } from '@countersign/base';
import { type ExpectPeer, expectName } from '@countersign/mtls';
import { authorityPath } from '@countersign/spiffe';
import type { AuthorityAddress } from './authority-url.ts';

/**
 * Accepts the authority of a trust domain. Its certificate has the SPIFFE ID `spiffe://<trust domain>/countersign/ca`,
 * which no authority grants to a workload: so none can pose as the authority and collect tokens. One without any SPIFFE
 * ID, such as that of a proxy before the authority, must be for the host that was dialled: where workloads get
 * certificates without SPIFFE IDs (`require_spiffe: false`), the policy must keep that host's names from them.
 *
 * @param trustDomain undefined while it is not known yet: then the trusted root alone says whose authority it is
 */
export function expectAuthority(address: AuthorityAddress, trustDomain?: string): ExpectPeer {
  const named = expectName(address.isAddress ? { ip: address.host } : { dns: address.host });
  return function expectTheAuthority(peer) {
    const { spiffeId } = peer;
    if (spiffeId === undefined) return named(peer);
    const isOurs = trustDomain === undefined || spiffeId.trustDomain === trustDomain;
    if (isOurs && spiffeId.path === authorityPath) return { ok: true };
    const expected = `spiffe://${trustDomain ?? spiffeId.trustDomain}${authorityPath}`;
    return denial('ERR_IDENTITY_AUTHORITY', `peer is "${spiffeId}", expected "${expected}"`, {
      shown: spiffeId.toString(),
      expected,
    });
  };
}
