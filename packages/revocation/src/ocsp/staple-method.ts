import { type Clock, messageOf } from '@countersign/base';
import type { PeerMeeting, RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import { holds } from '../checking/kept-answer.ts';
import type { RevocationMethod } from '../checking/revocation-method.ts';
import { type Moment, momentOf } from '../feed-silence.ts';
import {
  type AskOptions,
  acceptOcspAnswer,
  judgeOcspAnswer,
  needsClearing,
  type OcspKept,
} from './ask-responder.ts';
import { type OcspMethod, statusOf, subjectOf } from './ocsp-method.ts';

export interface StapleMethodOptions extends Pick<AskOptions, 'maxAgeMs' | 'clears'> {
  /** Asked about clients: Node gives them no way to show a staple, nor us one to see it. */
  readonly ocsp: OcspMethod;
  readonly maxStaleMs: number;
  /** Servers whose staples are remembered. */
  readonly capacity: number;
  readonly clock: Clock;
}

interface Shown {
  readonly answer: OcspKept | undefined;
  readonly at: Moment;
  /** Why there is none. */
  readonly failure: string | undefined;
}

/**
 * Revocation by what a server shows in its handshake (RFC 6066 §8): nobody else is asked about it, and one that shows
 * nothing is `unknown`. A staple is about the server's own certificate alone.
 */
export class StapleMethod implements RevocationMethod {
  readonly name = 'staple';
  readonly #options: StapleMethodOptions;
  /** By fingerprint: another connection may show a newer one. */
  readonly #shown = new Map<string, Shown>();
  readonly #clients = new WeakSet<VerifiedPeer>();

  constructor(options: StapleMethodOptions) {
    this.#options = options;
  }

  onChange(listener: () => void): () => void {
    return this.#options.ocsp.onChange(listener);
  }

  prepare(peer: VerifiedPeer, { purpose, staple }: PeerMeeting): Promise<void> | undefined {
    if (purpose === 'client') {
      this.#clients.add(peer);
      return this.#options.ocsp.prepare(peer);
    }
    if (staple === undefined) {
      this.#learn(peer, undefined, 'server showed no OCSP answer in its handshake');
      return undefined;
    }
    return this.#take(peer, staple);
  }

  check(peer: VerifiedPeer): RevocationStatus {
    if (this.#clients.has(peer)) return this.#options.ocsp.check(peer);
    const shown = this.#shown.get(peer.fingerprint);
    if (shown === undefined) {
      return { status: 'unknown', detail: 'no OCSP answer of the server is remembered' };
    }
    const { clock, maxStaleMs } = this.#options;
    const isUsable = holds(shown, momentOf(clock), maxStaleMs);
    return statusOf({ ...shown, subject: { certificate: peer.leaf } }, isUsable);
  }

  shownUntil(peer: VerifiedPeer): number | undefined {
    return this.#shown.get(peer.fingerprint)?.answer?.nextUpdate;
  }

  report(): Readonly<Record<string, unknown>> {
    const servers = { good: 0, revoked: 0, none: 0 };
    for (const { answer } of this.#shown.values()) servers[answer?.status ?? 'none'] += 1;
    return { servers, clients: this.#options.ocsp.report() };
  }

  async stop(): Promise<void> {
    await this.#options.ocsp.stop();
  }

  #take(peer: VerifiedPeer, bytes: Uint8Array): Promise<void> | undefined {
    const { chain } = peer;
    const [leaf, issuer] = chain;
    // One that is itself trusted has no issuer, and nobody to revoke it.
    if (issuer === undefined) return undefined;
    const subject = subjectOf(leaf, issuer, chain.slice(2), undefined);
    const asking = { ...this.#options, now: () => this.#options.clock.now() };
    const received = { bytes, from: 'staple' };
    try {
      const { kept, delegate } = judgeOcspAnswer(asking, subject, received);
      if (!needsClearing(asking, delegate)) {
        this.#learn(peer, kept, undefined);
        return undefined;
      }
    } catch (thrown) {
      this.#learn(peer, undefined, messageOf(thrown));
      return undefined;
    }
    return acceptOcspAnswer(asking, subject, received).then(
      (kept) => this.#learn(peer, kept, undefined),
      (thrown: unknown) => this.#learn(peer, undefined, messageOf(thrown)),
    );
  }

  /** A server that shows less than before keeps what it showed while that holds; a revocation stays. */
  #learn({ fingerprint }: VerifiedPeer, answer: OcspKept | undefined, failure: string | undefined) {
    const before = this.#shown.get(fingerprint);
    const isNewer = answer !== undefined && answer.thisUpdate >= (before?.answer?.thisUpdate ?? 0);
    const at = momentOf(this.#options.clock);
    this.#shown.delete(fingerprint);
    this.#shown.set(
      fingerprint,
      isNewer || before === undefined ? { answer, at, failure } : { ...before, failure },
    );
    const oldest = this.#shown.keys().next();
    if (this.#shown.size > this.#options.capacity && oldest.done !== true) {
      this.#shown.delete(oldest.value);
    }
  }
}
