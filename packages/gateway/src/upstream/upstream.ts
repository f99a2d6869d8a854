import type { Clock, Log } from '@countersign/base';
import {
  type Dialled,
  dialMtls,
  expectSpiffeId,
  httpAlpn,
  type LiveConnections,
  type StillAllowed,
} from '@countersign/mtls';
import type {
  BundleSource,
  RevocationSource,
  SvidSource,
  VerifiedPeer,
  X509Svid,
} from '@countersign/spiffe';
import { SignatureCache } from '@countersign/x509';
import { addressOf, spiffeIdsOf, type UpstreamConfig } from '../gateway-config.ts';
import { Connections } from './connections.ts';
import type { UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

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
 * Pooled connections to one upstream, all of them verified to be the identity that the route expects. They are
 * renewed, make before break, when our own identity rotates or the upstream's certificate nears its end: new requests
 * dial new connections, those in flight end on the old ones.
 */
export class Upstream {
  readonly config: UpstreamConfig;
  readonly #around: UpstreamSurroundings;
  readonly #signatures = new SignatureCache();
  #connections: Connections;
  #svid: X509Svid;
  #renewAt = Number.POSITIVE_INFINITY;
  readonly #draining = new Set<Connections>();

  /** @throws CountersignError ERR_SVID_NONE */
  constructor(config: UpstreamConfig, surroundings: UpstreamSurroundings) {
    this.config = config;
    this.#around = surroundings;
    this.#svid = surroundings.svids.svid();
    this.#connections = this.#open();
  }

  /** Sends a request; what becomes of it is told to `handler`. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#renewIfDue();
    this.#connections.dispatch(request, handler);
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    await Promise.all([...this.#draining, this.#connections].map((each) => each.close()));
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    await Promise.all([...this.#draining, this.#connections].map((each) => each.destroy()));
  }

  #renewIfDue(): void {
    const svid = this.#around.svids.svid();
    const due = this.#around.clock.now() >= this.#renewAt;
    if (svid === this.#svid && !due) return;
    const old = this.#connections;
    this.#svid = svid;
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#connections = this.#open();
    this.#draining.add(old);
    void old
      .close()
      .catch((thrown) => this.#around.log.debug({ err: thrown }, 'old upstream pool broke'))
      .finally(() => this.#draining.delete(old));
  }

  #open(): Connections {
    const { log } = this.#around;
    return new Connections({ config: this.config, dial: (alpn) => this.#dial(alpn), log });
  }

  async #dial(alpn: readonly string[] = httpAlpn): Promise<Dialled> {
    const { svids, bundles, revocation, prepare, clock, connections, allowed } = this.#around;
    const isExpected = expectSpiffeId(...spiffeIdsOf(this.config));
    const dialled = await dialMtls({
      ...addressOf(this.config),
      ...{ svids, bundles, clock, connections, prepare, alpn, signatures: this.#signatures },
      timeoutMs: this.config.connectTimeout,
      asksForStaple: revocation.asksForStaples ?? false,
      expect: (peer) => {
        const expected = isExpected(peer);
        return expected.ok ? allowed(peer) : expected;
      },
    });
    this.#scheduleRenewal(dialled);
    return dialled;
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
