import type { BundleSource, Changes, SvidSource } from '@countersign/spiffe';
import type { Identity } from '../identity.ts';
import type { LiveSource } from './live-source.ts';
import { type LiveTlsOptions, liveTlsOptions, type TlsOptionsRules } from './tls-options.ts';

/** The identity of this process, as an application holds it: give it to the adapters, and forget about certificates. */
export interface LiveIdentity extends SvidSource, BundleSource, Changes {
  /** Certificate, key and trust bundle of this moment. */
  current(): Identity;
  /** See {@link liveTlsOptions}. */
  tlsOptions(rules?: TlsOptionsRules): LiveTlsOptions;
  /** Ends its renewals; what there is stays usable. */
  stop(): Promise<void>;
}

/** Any live source, such as a rotation, as an application holds it. */
export function liveIdentity(
  source: LiveSource & { readonly identity?: Identity; stop?(): void | Promise<void> },
): LiveIdentity {
  return {
    current: () => source.identity ?? identityOf(source),
    tlsOptions: (rules) => liveTlsOptions(source, rules),
    stop: async () => await source.stop?.(),
    svid: () => source.svid(),
    bundle: (trustDomain) => source.bundle(trustDomain),
    authorities: () => source.authorities?.() ?? source.bundle(domainOf(source))?.authorities ?? [],
    onChange: (listener) => source.onChange(listener),
  };
}

function identityOf(source: LiveSource): Identity {
  const trustDomain = domainOf(source);
  const bundle = source.bundle(trustDomain) ?? { trustDomain, authorities: [] };
  return { svid: source.svid(), bundle };
}

function domainOf(source: LiveSource): string {
  return source.svid().spiffeId.trustDomain;
}
