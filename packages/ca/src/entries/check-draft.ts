import { type Denial, denial } from '@countersign/base';
import { isReserved, spiffeIdOf } from '@countersign/spiffe';
import type { EntryDraft } from '@countersign/wire';
import { parseNames } from '../certificate-names.ts';

/**
 * What is wrong with an entry before anybody asks for what it gives; whether the policy admits its names is asked at
 * each order. Denials: ERR_ENTRY_INVALID.
 */
export function checkDraft(draft: EntryDraft, trustDomain: string): Denial | undefined {
  for (const [what, text] of [
    ['SPIFFE ID', draft.spiffeId],
    ['agent', draft.agent],
  ] as const) {
    const id = spiffeIdOf(text);
    if (id === undefined || id.path === '') return invalid(`${what} "${text}" is no SPIFFE ID`);
    if (id.trustDomain !== trustDomain) {
      return invalid(`${what} "${id}" is not of the trust domain "${trustDomain}"`);
    }
    if (isReserved(id)) return invalid(`${what} "${id}" names the authority itself`);
  }
  const named = parseNames({ spiffeId: draft.spiffeId, dns: draft.dns });
  if (!named.ok) return invalid(named.detail);
  if (named.names.dns.join() !== draft.dns.join()) {
    return invalid(`DNS names "${draft.dns.join('", "')}" are not written in their one spelling`);
  }
  const odd = draft.federatesWith.find((name) => spiffeIdOf(`spiffe://${name}`) === undefined);
  return odd === undefined ? undefined : invalid(`"${odd}" is no trust domain`);
}

function invalid(detail: string): Denial {
  return denial('ERR_ENTRY_INVALID', detail);
}
