import type { Clock } from '@countersign/base';
import { isAnonymous, type PeerOf } from '@countersign/mtls';
import type { VerifiedPeer, X509Svid } from '@countersign/spiffe';
import {
  clientCertHeaders,
  formatXfcc,
  hopHeader,
  nameForHeader,
  signHop,
  subjectForHeader,
  xfccHeader,
} from '@countersign/wire';
import { formatName, type GeneralName } from '@countersign/x509';
import type { RouterConfig } from './config/router-config.ts';
import { type Caller, matchesPrincipal, stranger } from './operation/caller.ts';

/** Who the peer of a connection is to the rules of the configuration. */
export function callerOf(peer: PeerOf, { authorization }: RouterConfig): Caller {
  if (isAnonymous(peer)) return stranger;
  const spiffeId = peer.spiffeId?.toString();
  const roles = Object.entries(authorization.roles)
    .filter(([, patterns]) => matchesPrincipal(spiffeId, patterns))
    .map(([role]) => role);
  return { spiffeId, peer, roles: new Set(roles), claims: undefined };
}

/** How long a signed word about a caller holds; it is signed anew in the second half of that. */
const hopMs = 60_000;

/**
 * What subgraphs are told of a caller, names and values alternating: as the gateway tells it, and the same signed for
 * each of them. Nothing of a stranger. Remembered, for signing is what costs.
 */
export class CallerHeaders {
  readonly #clock: Clock;
  readonly #known = new WeakMap<VerifiedPeer, Map<string, Signed>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @param audience SPIFFE IDs of the subgraph
   * @param svid what is presented to it
   */
  of(
    { peer }: Caller,
    subgraph: string,
    audience: readonly string[],
    svid: X509Svid,
  ): readonly string[] {
    if (peer === undefined) return none;
    const known = this.#known.get(peer) ?? new Map<string, Signed>();
    this.#known.set(peer, known);
    const now = this.#clock.now();
    const before = known.get(subgraph);
    const isFresh = before?.svid === svid && Math.abs(now - before.signedAt) < hopMs / 2;
    if (isFresh) return before.headers;
    const by = svid.spiffeId.toString();
    const hop = signHop(
      {
        ...{ issuer: by, audience, expiresAt: now + hopMs },
        subject: peer.spiffeId?.toString() ?? '',
        subjectFingerprint: peer.fingerprint,
      },
      svid,
    );
    const headers = [...plainHeaders(peer, by), hopHeader, hop];
    known.set(subgraph, { svid, signedAt: now, headers });
    return headers;
  }
}

interface Signed {
  readonly svid: X509Svid;
  readonly signedAt: number;
  readonly headers: readonly string[];
}

const none: readonly string[] = [];

function plainHeaders(peer: VerifiedPeer, by: string): readonly string[] {
  const xfcc = formatXfcc({
    by: [by],
    hash: peer.fingerprint,
    subject: subjectForHeader(formatName(peer.leaf.subject)),
    uri: valuesOf(peer.names, 'uri'),
    dns: valuesOf(peer.names, 'dns'),
  });
  return [xfccHeader, xfcc, ...Object.entries(clientCertHeaders(peer.chain)).flat()];
}

function valuesOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): string[] {
  return names.flatMap((name) => (name.kind === kind ? [nameForHeader(name.value)] : []));
}
