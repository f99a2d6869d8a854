import type { Clock, Denial, Log } from '@countersign/base';
import { messageOf } from '@countersign/base';
import {
  type Dialled,
  dialMtls,
  type ExpectPeer,
  expectName,
  expectSpiffeId,
  type LiveConnections,
  mtlsConnector,
  type StillAllowed,
} from '@countersign/mtls';
import type {
  BundleSource,
  RevocationSource,
  SvidSource,
  VerifiedPeer,
  X509Svid,
} from '@countersign/spiffe';
import type { SignatureCache } from '@countersign/x509';
import { type Dispatcher, Pool } from 'undici';

/** How every subgraph is called: by whom, trusting whom. */
export interface Trust {
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;
  /** Whether a verified subgraph may be talked to now: revocation and expiry. */
  readonly allowed: (peer: VerifiedPeer) => StillAllowed;
  /** Registry of the connections to subgraphs, so that they can be asked about again, and cut. */
  readonly connections: LiveConnections;
  readonly signatures: SignatureCache;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where a subgraph is, and who must answer there. */
export interface SubgraphEndpoint {
  readonly name: string;
  readonly url: URL;
  readonly spiffeIds: readonly string[];
  readonly verifyHostname: boolean;
  readonly timeoutMs: number;
}

/** Open connections to one subgraph; further requests wait for one. */
const maxConnections = 256;

/**
 * Pooled mTLS connections to one subgraph. The pool is renewed, make before break, when our own identity rotates or the
 * subgraph's certificate nears its end: new requests dial new connections, those in flight end on the old ones.
 */
export class SubgraphPool {
  readonly #endpoint: SubgraphEndpoint;
  readonly #trust: Trust;
  readonly #onConnected: (peer: VerifiedPeer) => void;
  readonly #draining = new Set<Pool>();
  #pool: Pool | undefined;
  #svid: X509Svid | undefined;
  #renewAt = Number.POSITIVE_INFINITY;
  #peer: VerifiedPeer | undefined;

  constructor(endpoint: SubgraphEndpoint, trust: Trust, onConnected: (peer: VerifiedPeer) => void) {
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#onConnected = onConnected;
  }

  /** Who answered at the newest connection. */
  get peer(): VerifiedPeer | undefined {
    return this.#peer;
  }

  /** @throws CountersignError ERR_SVID_NONE */
  current(): Dispatcher {
    const { svids, clock } = this.#trust;
    const svid = svids.svid();
    const isDue = clock.now() >= this.#renewAt;
    if (this.#pool !== undefined && svid === this.#svid && !isDue) return this.#pool;
    const old = this.#pool;
    this.#svid = svid;
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#pool = this.#open();
    if (old !== undefined) this.#drain(old);
    return this.#pool;
  }

  /** One connection outside of the pool, as those in it are dialled. */
  async dial(signal: AbortSignal): Promise<Dialled> {
    const { url } = this.#endpoint;
    const dialled = await dialMtls({
      ...dialOptionsOf(this.#endpoint, this.#trust),
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? 443 : Number(url.port),
      signal,
    });
    this.#onConnected(dialled.peer);
    return dialled;
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    const pools = [...this.#draining, ...(this.#pool === undefined ? [] : [this.#pool])];
    await Promise.all(pools.map((pool) => pool.close()));
  }

  async destroy(): Promise<void> {
    const pools = [...this.#draining, ...(this.#pool === undefined ? [] : [this.#pool])];
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #drain(old: Pool): void {
    this.#draining.add(old);
    void old
      .close()
      .catch((thrown) => this.#trust.log.debug({ reason: messageOf(thrown) }, 'old pool broke'))
      .finally(() => this.#draining.delete(old));
  }

  #open(): Pool {
    const { url, timeoutMs } = this.#endpoint;
    const port = url.port === '' ? '443' : url.port;
    // An http: origin, because undici reconnects https: ones whenever the Host header changes; the connector does TLS.
    return new Pool(`http://${url.hostname}:${port}`, {
      connections: maxConnections,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: mtlsConnector({
        ...dialOptionsOf(this.#endpoint, this.#trust),
        onDialled: (dialled) => this.#dialled(dialled),
      }),
    });
  }

  #dialled({ peer }: Dialled): void {
    this.#peer = peer;
    this.#onConnected(peer);
    this.#renewAt = Math.min(this.#renewAt, renewalOf(peer, this.#trust));
  }
}

/** How every connection to a subgraph is dialled, whatever is spoken on it. */
export function dialOptionsOf(endpoint: SubgraphEndpoint, trust: Trust) {
  const { svids, bundles, revocation, clock, connections, signatures } = trust;
  const { prepare } = revocation;
  return {
    ...{ svids, bundles, clock, connections, signatures },
    ...(prepare !== undefined && { prepare: prepare.bind(revocation) }),
    asksForStaple: revocation.asksForStaples ?? false,
    expect: expectation(endpoint, trust),
    timeoutMs: Math.min(endpoint.timeoutMs, 10_000),
  };
}

/** A fifth of its lifetime before the subgraph's certificate ends, connections are made anew. */
export function renewalOf(peer: VerifiedPeer, { clock, revocation }: Trust): number {
  const now = clock.now();
  const end = Math.min(peer.notAfter, revocation.shownUntil?.(peer) ?? Number.POSITIVE_INFINITY);
  const from = end < peer.notAfter ? now : peer.leaf.notBefore;
  const early = end - (end - from) / 5;
  return Math.max(early, now + Math.max(1000, (end - now) / 4));
}

/** SPIFFE ID, host name and what is known of the peer: separate questions, each with its own reason. */
function expectation(
  { url, spiffeIds, verifyHostname }: SubgraphEndpoint,
  trust: Trust,
): ExpectPeer {
  const identified = expectSpiffeId(...spiffeIds);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const named = expectName(/^[\d.]+$|:/.test(host) ? { ip: host } : { dns: host });
  return function expectSubgraph(peer): { readonly ok: true } | Denial {
    for (const ask of [identified, verifyHostname ? named : undefined, trust.allowed]) {
      const answer = ask?.(peer);
      if (answer?.ok === false) return answer;
    }
    return { ok: true };
  };
}
