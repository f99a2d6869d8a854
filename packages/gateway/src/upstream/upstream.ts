import type { Clock, Log } from '@countersign/base';
import {
  type Dialled,
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
import { type Dispatcher, Pool } from 'undici';
import { addressOf, spiffeIdsOf, type UpstreamConfig } from './gateway-config.ts';

export interface UpstreamSurroundings {
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;
  /** Looks up what `allowed` has to know of an upstream. */
  readonly prepare: NonNullable<RevocationSource['prepare']>;
  /** Whether a verified upstream may be talked to now: revocation and expiry. */
  readonly allowed: (peer: VerifiedPeer) => StillAllowed;
  /** Registry of the connections to upstreams. */
  readonly connections: LiveConnections;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Pooled connections to one upstream, all of them verified to be the identity that the route expects. The pool is
 * renewed, make before break, when our own identity rotates or the upstream's certificate nears its end: new requests
 * dial new connections, those in flight end on the old ones.
 */
export class Upstream {
  readonly config: UpstreamConfig;
  readonly #around: UpstreamSurroundings;
  #pool: Pool;
  #svid: X509Svid;
  #renewAt = Number.POSITIVE_INFINITY;
  readonly #draining = new Set<Pool>();

  /** @throws CountersignError ERR_SVID_NONE */
  constructor(config: UpstreamConfig, surroundings: UpstreamSurroundings) {
    this.config = config;
    this.#around = surroundings;
    this.#svid = surroundings.svids.svid();
    this.#pool = this.#open();
  }

  /** Sends a request; what becomes of it is told to `handler`. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#renewIfDue();
    this.#pool.dispatch(options, handler);
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    await Promise.all([...this.#draining, this.#pool].map((pool) => pool.close()));
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    await Promise.all([...this.#draining, this.#pool].map((pool) => pool.destroy()));
  }

  #renewIfDue(): void {
    const svid = this.#around.svids.svid();
    const due = this.#around.clock.now() >= this.#renewAt;
    if (svid === this.#svid && !due) return;
    const old = this.#pool;
    this.#svid = svid;
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#pool = this.#open();
    this.#draining.add(old);
    void old
      .close()
      .catch((thrown) => this.#around.log.debug({ err: thrown }, 'old upstream pool broke'))
      .finally(() => this.#draining.delete(old));
  }

  #open(): Pool {
    const { host, port } = addressOf(this.config);
    const { svids, bundles, revocation, prepare, clock, connections, allowed } = this.#around;
    const isExpected = expectSpiffeId(...spiffeIdsOf(this.config));
    // An http: origin, because undici reconnects https: ones whenever the Host header changes; the connector does TLS.
    const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    return new Pool(`http://${authority}`, {
      connections: this.config.maxConnections,
      pipelining: 1,
      headersTimeout: this.config.timeout,
      bodyTimeout: this.config.idleTimeout,
      connect: mtlsConnector({
        svids,
        bundles,
        clock,
        connections,
        timeoutMs: this.config.connectTimeout,
        prepare,
        asksForStaple: revocation.asksForStaples ?? false,
        expect: (peer) => {
          const expected = isExpected(peer);
          return expected.ok ? allowed(peer) : expected;
        },
        onDialled: (dialled) => this.#scheduleRenewal(dialled),
      }),
    });
  }

  /**
   * A fifth of its lifetime before the upstream's certificate ends, or what it showed of its revocation; sooner and
   * sooner while it is not renewed.
   */
  #scheduleRenewal({ peer }: Dialled): void {
    const { clock, revocation } = this.#around;
    const now = clock.now();
    const shownUntil = revocation.shownUntil?.(peer) ?? Number.POSITIVE_INFINITY;
    const end = Math.min(peer.notAfter, shownUntil);
    const from = shownUntil < peer.notAfter ? now : peer.leaf.notBefore;
    const early = end - (end - from) / 5;
    const patient = now + Math.max(1000, (end - now) / 4);
    this.#renewAt = Math.min(this.#renewAt, Math.max(early, patient));
  }
}
