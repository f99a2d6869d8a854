import type { Clock, Counter, Log, Meter } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';

const repeatMs = 10_000;

/** Tells the operator, and goes on telling, that peers are let in of whom nobody knows whether they are revoked. */
export class FailOpenWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counter: Counter;
  #count = 0;
  #lastAt: number | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #untold = 0;

  constructor({ clock, log, meter }: { clock: Clock; log: Log; meter: Meter }) {
    this.#clock = clock;
    this.#log = log;
    this.#counter = meter.counter({
      name: 'countersign_revocation_failed_open_total',
      help: 'Questions answered as if a peer were not revoked although nobody knew.',
    });
    this.#counter.add(0);
    log.warn(
      {},
      'revocation fails open: peers are let in even when nobody knows if they are revoked',
    );
  }

  /** One question about a peer that gets the benefit of the doubt. */
  letIn(peer: VerifiedPeer, detail: string): void {
    const now = this.#clock.monotonic();
    this.#count += 1;
    this.#untold += 1;
    this.#lastAt = this.#clock.now();
    this.#counter.add(1);
    if (now - this.#toldAt < repeatMs) return;
    const fields = { peer: peer.spiffeId?.toString(), serial: peer.serialHex, times: this.#untold };
    this.#toldAt = now;
    this.#untold = 0;
    this.#log.error(fields, `revocation failed open: ${detail}`);
  }

  report(): Readonly<Record<string, unknown>> {
    const last = this.#lastAt === undefined ? undefined : new Date(this.#lastAt).toISOString();
    return { times: this.#count, ...(last !== undefined && { last }) };
  }
}
