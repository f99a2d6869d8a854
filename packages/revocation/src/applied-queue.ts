import { setImmediate } from 'node:timers/promises';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { CutCounts, RevocationFrame } from '@countersign/wire';

export interface AppliedQueueOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Cuts what a batch concerns. */
  readonly cut: (frames: readonly RevocationFrame[]) => Promise<CutCounts>;
  /** The batch that ends at `position` is cut. */
  readonly onCut: (position: number, counts: CutCounts) => void;
}

const retryMs = 1000;

/**
 * Revocations that are applied and whose connections are not cut yet. What arrives while a batch is being cut makes
 * up the next one, so that a burst costs few rounds. A batch leaves only when it was cut.
 */
export class AppliedQueue {
  readonly #options: AppliedQueueOptions;
  #frames: RevocationFrame[] = [];
  #wake: () => void = () => {};

  constructor(options: AppliedQueueOptions) {
    this.#options = options;
  }

  push(frame: RevocationFrame): void {
    this.#frames.push(frame);
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    while (!signal.aborted) {
      await this.#something();
      // What came in the same chunk belongs to the same batch: one look over the connections, not one a frame.
      await setImmediate();
      if (signal.aborted) return;
      const isCut = await this.#cutBatch();
      if (!isCut) await clock.sleep(retryMs, { signal, ref: false }).catch(() => {});
    }
  }

  async #cutBatch(): Promise<boolean> {
    const batch = [...this.#frames];
    const last = batch.at(-1);
    if (last === undefined) return true;
    try {
      const counts = await this.#options.cut(batch);
      this.#frames.splice(0, batch.length);
      this.#options.onCut(last.position, counts);
      return true;
    } catch (thrown) {
      const attempted = `cut the connections of ${batch.length} revocations up to ${last.position}`;
      this.#options.log.error({ err: thrown }, `${attempted}: ${messageOf(thrown)}`);
      return false;
    }
  }

  async #something(): Promise<void> {
    if (this.#frames.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
