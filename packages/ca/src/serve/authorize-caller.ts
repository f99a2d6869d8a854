import { type Denial, denial } from '@countersign/base';
import type { LiveConnection } from '@countersign/mtls';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { Route, RouteName } from '@countersign/wire';
import type { Ledger } from '../ledger/ledger.ts';
import type { Caller } from './api-call.ts';

/**
 * May this caller ask this route at all? Asked at every request, also on a connection that was good a moment ago; the
 * answer about revocation comes from the ledger, never from memory. An order is the one case where it is enough to have
 * asked once a connection: the ledger asks again in the transaction that commits it, and `cutRevokedPeers` ends the
 * connection where a revocation concerns it.
 *
 * Denials: ERR_WIRE_ROUTE (an admin route, away from the admin socket), ERR_API_CERTIFICATE_NEEDED and those of
 * {@link judgePeer}.
 */
export async function authorizeCaller(
  route: Route,
  caller: Caller,
  facts: { readonly ledger: Ledger; readonly now: number },
): Promise<{ readonly ok: true } | Denial> {
  if (caller.kind === 'operator') return { ok: true };
  if (route.auth === 'admin') {
    return denial('ERR_WIRE_ROUTE', `"${route.path}" is answered on the admin socket alone`);
  }
  if (route.auth !== 'mtls') return { ok: true };
  if (caller.kind === 'anonymous') {
    return denial('ERR_API_CERTIFICATE_NEEDED', `"${route.path}" needs a client certificate`);
  }
  const { peer, live } = caller;
  if (judgedGood.has(live) && askedAgain.has(route.name)) {
    return expiryOf(peer, facts.now) ?? { ok: true };
  }
  const judged = await judgePeer(peer, facts);
  if (judged.ok) judgedGood.add(live);
  return judged;
}

/** Routes whose orders are granted by the caller's own certificate. */
const askedAgain: ReadonlySet<string> = new Set<RouteName>(['renew', 'issueBatch']);
const judgedGood = new WeakSet<LiveConnection>();

/**
 * Does this certificate still speak for its holder? The same question when a request comes and when a revocation was
 * committed while the connection is open.
 *
 * Denials: ERR_PEER_EXPIRED, ERR_API_CERTIFICATE_REVOKED, ERR_API_CERTIFICATE_UNKNOWN.
 */
export async function judgePeer(
  peer: VerifiedPeer,
  facts: { readonly ledger: Ledger; readonly now: number },
): Promise<{ readonly ok: true } | Denial> {
  const expired = expiryOf(peer, facts.now);
  if (expired !== undefined) return expired;
  const status = await facts.ledger.certificateStatus(peer.serialHex);
  if (status.status === 'good') return { ok: true };
  if (status.status === 'unknown') {
    return denial(
      'ERR_API_CERTIFICATE_UNKNOWN',
      `certificate "${peer.serialHex}" leads to our root and is not in the ledger`,
      { serial: peer.serialHex },
    );
  }
  const { by, value, position, reason } = status.revocation;
  return denial(
    'ERR_API_CERTIFICATE_REVOKED',
    `certificate "${peer.serialHex}" is covered by the revocation of ${by} "${value}" at position ${position}, reason ${reason}`,
    { serial: peer.serialHex, by, position, reason },
  );
}

/** An open connection outlives its certificate unless somebody looks. */
export function expiryOf(peer: VerifiedPeer, now: number): Denial | undefined {
  if (now <= peer.notAfter) return undefined;
  const sides = `ended at ${new Date(peer.notAfter).toISOString()}, it is now ${new Date(now).toISOString()}`;
  return denial('ERR_PEER_EXPIRED', `certificate "${peer.serialHex}" ${sides}`, {
    notAfter: peer.notAfter,
    now,
  });
}
