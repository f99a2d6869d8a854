import { CountersignError, denial } from '@countersign/base';
import { type ExpectPeer, expectName } from '@countersign/mtls';
import { parseSpiffeId } from '@countersign/spiffe';

/** Who may be at the other end. */
export interface PeerRules {
  /**
   * SPIFFE IDs, or patterns of them: a segment `*` stands for any one segment, a last segment `**` for one or more.
   * Default: whoever is of the own trust domain. An empty list accepts nobody.
   */
  readonly allow?: readonly string[];
  /**
   * Whether a server's certificate must name the host that was dialled too. Default: yes where `allow` is not given,
   * since its SPIFFE ID says nothing then of which service it is.
   */
  readonly verifyHostname?: boolean;
}

/**
 * Who may answer, as a function for a dialer.
 *
 * @param host what was dialled; undefined for a client, which has none
 * @throws CountersignError ERR_IDENTITY_PATTERN
 */
export function expectPeer(
  rules: PeerRules,
  ownDomain: () => string,
): (host: string | undefined) => ExpectPeer {
  const matchers = rules.allow?.map(compilePattern);
  const verifiesHost = rules.verifyHostname ?? matchers === undefined;
  return function expectAt(host) {
    const named = host === undefined || !verifiesHost ? undefined : expectName(nameOf(host));
    return function expectAllowed(peer) {
      const shown = peer.spiffeId?.toString();
      const expected = rules.allow ?? [`spiffe://${ownDomain()}/**`];
      const isAllowed =
        peer.spiffeId !== undefined &&
        (matchers === undefined
          ? peer.spiffeId.trustDomain === ownDomain()
          : matchers.some((matches) => matches(peer.spiffeId?.toString() ?? '')));
      if (isAllowed) return named?.(peer) ?? { ok: true };
      return denial(
        'ERR_PEER_UNEXPECTED',
        `peer is "${shown ?? 'without a SPIFFE ID'}", expected "${expected.join('" or "')}"`,
        { shown, expected },
      );
    };
  };
}

/** @throws CountersignError ERR_IDENTITY_PATTERN */
export function compilePattern(pattern: string): (id: string) => boolean {
  const segments = pattern.split('/');
  const last = segments.length - 1;
  // A pattern is a SPIFFE ID with stars in its path.
  const plain = segments.map((each, i) =>
    i > 2 && (each === '*' || (each === '**' && i === last)) ? 'any' : each,
  );
  try {
    parseSpiffeId(plain.join('/'));
  } catch (thrown) {
    throw new CountersignError('ERR_IDENTITY_PATTERN', `pattern "${pattern}" cannot be read`, {
      fields: { pattern },
      cause: thrown,
    });
  }
  const isOpen = last > 2 && segments[last] === '**';
  return function matchesId(id) {
    const given = id.split('/');
    if (isOpen ? given.length <= last : given.length !== segments.length) return false;
    return segments.every(
      (wanted, i) => (isOpen && i === last) || (wanted === '*' && i > 2) || wanted === given[i],
    );
  };
}

function nameOf(host: string): { readonly dns: string } | { readonly ip: string } {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return /^[\d.]+$|:/.test(bare) ? { ip: bare } : { dns: bare };
}
