import { type Clock, systemClock } from '@countersign/base';
import { type Dialled, dialMtls, type TlsVersion } from '@countersign/mtls';
import { SignatureCache } from '@countersign/x509';
import { type LiveSource, ownTrustDomain } from '../live/live-source.ts';
import { expectPeer, type PeerRules } from '../live/peer-rules.ts';

export interface DialRules extends PeerRules {
  /** `TLSv1.2` unless given. */
  readonly minVersion?: TlsVersion;
  /** For name look-up, TCP and TLS together; 10,000 unless given. */
  readonly connectTimeoutMs?: number;
  readonly clock?: Clock;
}

export type Dialler = (place: {
  readonly host: string;
  readonly port: number;
  readonly servername?: string;
  readonly alpn?: readonly string[];
  readonly signal?: AbortSignal;
}) => Promise<Dialled>;

/** Dials with the identity of each moment; no byte is written before the server is known to be the right one. */
export function dialler(source: LiveSource, rules: DialRules = {}): Dialler {
  const { clock = systemClock, minVersion, connectTimeoutMs } = rules;
  const expectAt = expectPeer(rules, () => ownTrustDomain(source));
  const signatures = new SignatureCache();
  return (place) =>
    dialMtls({
      ...place,
      ...{ svids: source, bundles: source, clock, signatures },
      expect: expectAt(place.servername ?? place.host),
      ...(minVersion === undefined ? {} : { minVersion }),
      ...(connectTimeoutMs === undefined ? {} : { timeoutMs: connectTimeoutMs }),
    });
}
