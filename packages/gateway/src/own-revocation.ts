import { type Clock, type Denial, denial, type Log } from '@countersign/base';
import {
  type BundleSource,
  type RevocationStatus,
  type SvidSource,
  type VerifiedPeer,
  verifyPeer,
  type X509Svid,
} from '@countersign/spiffe';

export interface OwnRevocationOptions {
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  /** What is known of our own certificate. */
  readonly check: (self: VerifiedPeer) => RevocationStatus;
  readonly clock: Clock;
  readonly log: Log;
}

/** A chain that leads to no anchor of ours is not proved again with each request. */
const provedAgainMs = 1000;

/**
 * Why this gateway may let nobody in and talk to nobody, or undefined: its own certificate is revoked. The authority
 * tells such a gateway nothing any more, so that it would be deaf to every later revocation. Asked with each question,
 * of the certificate as it is then: one that replaces it ends the refusal by itself. Each turn is logged once.
 */
export function watchOwnRevocation(options: OwnRevocationOptions): () => Denial | undefined {
  const { svids, bundles, check, clock, log } = options;
  let known: Known | undefined;
  let wasRevoked = false;

  function selfOf(): VerifiedPeer | undefined {
    const svid = currentOf(svids);
    if (svid === undefined) return undefined;
    const since = clock.monotonic();
    if (known?.svid === svid && (known.self !== undefined || since - known.since < provedAgainMs)) {
      return known.self;
    }
    // Its end is another matter: who has ended is asked about as of then.
    const at = Math.min(clock.now(), svid.notAfter);
    const verified = verifyPeer({ chain: svid.chain, bundles, at, purpose: 'server' });
    known = { svid, self: verified.ok ? verified.peer : undefined, since };
    return known.self;
  }

  return function ownRefusal() {
    const self = selfOf();
    const status = self === undefined ? undefined : check(self);
    const isRevoked = status?.status === 'revoked';
    if (isRevoked !== wasRevoked) {
      wasRevoked = isRevoked;
      const serial = self?.serialHex;
      if (isRevoked) log.error({ serial, ...status }, todo);
      else log.info({ serial }, 'own certificate is good again, serving');
    }
    if (!isRevoked) return undefined;
    const { by, reason } = status;
    const detail = `own certificate "${self?.serialHex}" is revoked by ${by}, reason ${reason}`;
    return denial('ERR_GATEWAY_SELF_REVOKED', detail, { by, reason });
  };
}

interface Known {
  readonly svid: X509Svid;
  readonly self: VerifiedPeer | undefined;
  readonly since: number;
}

/** That there is none is for the handshake to say. */
function currentOf(svids: SvidSource): X509Svid | undefined {
  try {
    return svids.svid();
  } catch {
    return undefined;
  }
}

const todo =
  'own certificate is revoked: everybody is refused; enrol anew into the directory of --identity, then send SIGHUP';
