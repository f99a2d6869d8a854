import { denial } from '@countersign/base';
import type { ExpectPeer } from '@countersign/mtls';
import { authorityPath } from '@countersign/spiffe';

/**
 * Accepts the authority of a trust domain. Its certificate has the SPIFFE ID `spiffe://<trust domain>/countersign/ca`,
 * which no authority grants to a workload: so none can pose as the authority and collect tokens. A host name is not
 * enough, for under `require_spiffe: false` a workload may have a certificate that says nothing else.
 *
 * @param trustDomain undefined while it is not known yet: then the trusted root alone says whose authority it is
 */
export function expectAuthority(trustDomain?: string): ExpectPeer {
  return function expectTheAuthority({ spiffeId }) {
    const isOurs = trustDomain === undefined || spiffeId?.trustDomain === trustDomain;
    if (isOurs && spiffeId?.path === authorityPath) return { ok: true };
    const shown = spiffeId?.toString();
    const domain = trustDomain ?? spiffeId?.trustDomain ?? '<trust domain>';
    const expected = `spiffe://${domain}${authorityPath}`;
    const detail = `peer is "${shown ?? 'without a SPIFFE ID'}", expected "${expected}"`;
    return denial('ERR_IDENTITY_AUTHORITY', detail, { shown, expected });
  };
}
