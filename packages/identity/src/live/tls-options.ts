import type { PeerCertificate, SecureContext } from 'node:tls';
import {
  type Clock,
  CountersignError,
  errorOfDenial,
  messageOf,
  systemClock,
} from '@countersign/base';
import type { TlsVersion } from '@countersign/mtls';
import { maxPeerChain, verifyPeer } from '@countersign/spiffe';
import { type Certificate, parseCertificate, SignatureCache } from '@countersign/x509';
import { liveContext } from './live-context.ts';
import { type LiveSource, ownTrustDomain } from './live-source.ts';
import { expectPeer, type PeerRules } from './peer-rules.ts';

export interface TlsOptionsRules extends PeerRules {
  /** `TLSv1.2` unless given. */
  readonly minVersion?: TlsVersion;
  readonly clock?: Clock;
}

/** What `tls.connect` takes, and every library that hands its options on to it. */
export interface LiveTlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: true;
  readonly checkServerIdentity: (
    host: string,
    certificate: PeerCertificate,
  ) => CountersignError | undefined;
}

/**
 * Options for the dialling side that stay live: give them once, copied or not; every connection presents the certificate
 * of that moment, trusts the bundle of that moment, and is refused unless our own verifier accepts the server's chain and
 * `rules` its SPIFFE ID. There is no key in them.
 *
 * Node asks `checkServerIdentity` in full handshakes alone: give no `session` beside them.
 *
 * @throws CountersignError ERR_IDENTITY_PATTERN, ERR_TLS_CONTEXT, ERR_SVID_NONE
 */
export function liveTlsOptions(source: LiveSource, rules: TlsOptionsRules = {}): LiveTlsOptions {
  const { clock = systemClock, minVersion } = rules;
  const expectAt = expectPeer(rules, () => ownTrustDomain(source));
  const signatures = new SignatureCache();
  return {
    secureContext: liveContext(source, minVersion),
    rejectUnauthorized: true,
    checkServerIdentity(host, certificate) {
      try {
        const chain = chainOf(certificate);
        const at = clock.now();
        const verified = verifyPeer({
          ...{ chain, bundles: source, at, signatures },
          purpose: 'server',
        });
        const answer = verified.ok ? expectAt(host)(verified.peer) : verified;
        return answer.ok ? undefined : errorOfDenial(answer, `connect to "${host}"`);
      } catch (thrown) {
        if (thrown instanceof CountersignError) return thrown;
        const message = `chain of "${host}": ${messageOf(thrown)}`;
        return new CountersignError('ERR_TLS_CHAIN_MALFORMED', message, { cause: thrown });
      }
    },
  };
}

/** Leaf first. The last one names itself as its issuer. */
function chainOf(certificate: PeerCertificate): Certificate[] {
  const chain: Certificate[] = [];
  const seen = new Set<string>();
  let next: Partial<PeerCertificate & { issuerCertificate: PeerCertificate }> = certificate;
  while (next?.raw !== undefined && chain.length <= maxPeerChain) {
    const text = next.raw.toString('latin1');
    if (seen.has(text)) break;
    seen.add(text);
    chain.push(parseCertificate(new Uint8Array(next.raw)));
    next = next.issuerCertificate ?? {};
  }
  return chain;
}
