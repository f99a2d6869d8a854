import type { SecureContext, TLSSocket } from 'node:tls';
import type { RevocationSource } from '@countersign/spiffe';
import type { JudgeOptions } from './judge-client.ts';
import type { IdentitySource, TlsIdentity } from './tls-certificate.ts';
import { contextOptions, provenContext } from './tls-identity.ts';
import type { TlsVersion } from './tls-policy.ts';

/** How connections for some server names are met, instead of as the listener's own options say. */
export interface ListenerChain
  extends Pick<JudgeOptions, 'bundles' | 'clientAuth' | 'profile' | 'admit'> {
  /** For `HandshakeFacts.chain`. */
  readonly name: string;
  /** Lowercase: a name, or `*.example.com`. */
  readonly serverNames: readonly string[];
  readonly svids: IdentitySource;
  readonly prepare?: RevocationSource['prepare'];
  readonly alpn: readonly string[];
}

/** Chooses by the server name (SNI) that a client sends: an exact one first, then the longest suffix. */
export class ListenerChains {
  readonly #exact = new Map<string, ListenerChain>();
  /** Longest first, each with the dot before it. */
  readonly #suffixes: (readonly [suffix: string, chain: ListenerChain])[] = [];
  readonly #contexts = new WeakMap<TlsIdentity, SecureContext>();
  readonly #minVersion: TlsVersion | undefined;

  /** @param minVersion of the whole listener: OpenSSL chooses the version before the name */
  constructor(chains: readonly ListenerChain[], minVersion: TlsVersion | undefined) {
    this.#minVersion = minVersion;
    for (const chain of chains) {
      for (const name of chain.serverNames) {
        if (name.startsWith('*.')) this.#suffixes.push([name.slice(1), chain]);
        else if (!this.#exact.has(name)) this.#exact.set(name, chain);
      }
    }
    this.#suffixes.sort(([a], [b]) => b.length - a.length);
  }

  of(serverName: string): ListenerChain | undefined {
    const name = serverName.toLowerCase();
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    return this.#suffixes.find(
      ([suffix]) => name.length > suffix.length && name.endsWith(suffix),
    )?.[1];
  }

  ofSocket(socket: TLSSocket): ListenerChain | undefined {
    const { servername } = socket as unknown as { servername?: string | false | null };
    return typeof servername === 'string' ? this.of(servername) : undefined;
  }

  /** What they present now. */
  identities(): TlsIdentity[] {
    const all = [...this.#exact.values(), ...this.#suffixes.map(([, chain]) => chain)];
    return [...new Set(all)].map(({ svids }) => svids.svid());
  }

  /**
   * The context of the identity that the chain has now.
   *
   * @throws CountersignError ERR_SVID_NONE, ERR_TLS_CONTEXT
   */
  contextOf({ svids }: ListenerChain): SecureContext {
    const svid = svids.svid();
    const known = this.#contexts.get(svid);
    if (known !== undefined) return known;
    const context = provenContext(contextOptions(svid, this.#minVersion), svid);
    this.#contexts.set(svid, context);
    return context;
  }
}
