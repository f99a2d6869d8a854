import { isAnonymous, type PeerOf } from '@countersign/mtls';
import type { VerifiedPeer, X509Svid } from '@countersign/spiffe';
import { hopHeader, nameForHeader, signHop, subjectForHeader } from '@countersign/wire';
import { formatName } from '@countersign/x509';
import type { ClusterModel } from './model/cluster-model.ts';
import type { CallerFact } from './model/listener-model.ts';

type Written = Readonly<Record<string, CallerFact>> | undefined;

/** What an operator has told of callers under names of their own, names and values alternating. */
export function callerHeaders(written: Written, peer: PeerOf): string[] {
  if (written === undefined || isAnonymous(peer)) return [];
  return Object.entries(written).flatMap(([name, fact]) => {
    const value = facts[fact](peer);
    return value === undefined || value === '' ? [] : [name, value];
  });
}

/**
 * The names of such headers of all listeners, as {@link plainName} has them: a caller's own lines of these are stripped
 * on each, for an upstream cannot tell by which listener a request came.
 */
export function namesOfCallers(written: Iterable<Written>): ReadonlySet<string> {
  return new Set([...written].flatMap((each) => Object.keys(each ?? {}).map(plainName)));
}

/** As upstreams behind CGI and WSGI read it: without case, `_` as `-`. */
export function plainName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

const facts: Readonly<Record<CallerFact, (peer: VerifiedPeer) => string | undefined>> = {
  spiffeId: ({ spiffeId }) => spiffeId?.toString(),
  subject: ({ leaf }) => subjectForHeader(formatName(leaf.subject)),
  dns: (peer) => firstOf(peer, 'dns'),
  uri: (peer) => firstOf(peer, 'uri'),
  email: (peer) => firstOf(peer, 'email'),
};

function firstOf({ names }: VerifiedPeer, kind: 'dns' | 'uri' | 'email'): string | undefined {
  const name = names.find((each) => each.kind === kind);
  return name?.kind === kind ? nameForHeader(name.value) : undefined;
}

/** How long a signed word about a caller holds; it is signed anew in the second half of that. */
const hopMs = 60_000;

interface Signed {
  readonly svid: X509Svid;
  /** That of the model in force then: a reload may name others. */
  readonly audience: readonly string[];
  readonly signedAt: number;
  readonly headers: readonly string[];
}

/**
 * Our word about a caller for one upstream, signed with the key of the certificate that it is shown: whoever verifies it on
 * that connection needs to trust no network in between. Remembered, for signing is what costs.
 */
export class HopHeaders {
  readonly #svidOf: (
    identity: NonNullable<ClusterModel['tls']>['identity'],
  ) => X509Svid | undefined;
  readonly #known = new WeakMap<VerifiedPeer, Map<string, Signed>>();

  constructor(
    svidOf: (identity: NonNullable<ClusterModel['tls']>['identity']) => X509Svid | undefined,
  ) {
    this.#svidOf = svidOf;
  }

  /** Names and values alternating; nothing of strangers, nor for an upstream that no SPIFFE ID is asked of. */
  of(peer: PeerOf, { name, tls }: ClusterModel, now: number): readonly string[] {
    const audience = tls?.expect?.spiffeIds ?? [];
    if (isAnonymous(peer) || tls === undefined || audience.length === 0) return [];
    const svid = this.#svidOf(tls.identity);
    if (svid === undefined) return [];
    const known = this.#known.get(peer) ?? new Map<string, Signed>();
    this.#known.set(peer, known);
    const before = known.get(name);
    const isSame = before?.svid === svid && before.audience === audience;
    if (isSame && Math.abs(now - before.signedAt) < hopMs / 2) return before.headers;
    const claims = {
      ...{ issuer: svid.spiffeId.toString(), audience, expiresAt: now + hopMs },
      subject: peer.spiffeId?.toString() ?? '',
      subjectFingerprint: peer.fingerprint,
    };
    const headers = [hopHeader, signHop(claims, svid)];
    known.set(name, { svid, audience, signedAt: now, headers });
    return headers;
  }
}
