import type { Clock } from '@countersign/base';
import { Bell } from './bell.ts';

/** One that is asked over the feed now. */
export interface FeedQuestion {
  readonly id: string;
  /** Frames as they are sent. */
  readonly lines: string;
  readonly answers: Map<string, number>;
}

/** Questions to everybody who follows the feed, each open for a few seconds; answers come with the lease. */
export class FeedQuestions {
  readonly #open = new Map<string, FeedQuestion>();
  readonly #answered = new Bell();

  get open(): Iterable<FeedQuestion> {
    return this.#open.values();
  }

  /**
   * Asks, and waits until each of these instances has answered, for `waitMs`, or until the signal.
   *
   * @returns what each answered
   */
  async ask(
    question: Pick<FeedQuestion, 'id' | 'lines'>,
    of: ReadonlySet<string>,
    wait: { readonly waitMs: number; readonly clock: Clock; readonly signal?: AbortSignal },
    ring: () => void,
  ): Promise<ReadonlyMap<string, number>> {
    const { waitMs, clock, signal } = wait;
    const answers = new Map<string, number>();
    this.#open.set(question.id, { ...question, answers });
    const deadline = clock.monotonic() + waitMs;
    try {
      ring();
      for (;;) {
        const { rings } = this.#answered;
        const left = deadline - clock.monotonic();
        const isDone = [...of].every((instance) => answers.has(instance));
        if (isDone || left <= 0 || signal?.aborted === true) return answers;
        await this.#answered.wait(rings, left, clock, signal);
      }
    } finally {
      this.#open.delete(question.id);
    }
  }

  /** One that is over, or was never asked, is nobody's business any more. */
  answer(id: string, instance: string, wouldClose: number): void {
    this.#open.get(id)?.answers.set(instance, wouldClose);
    this.#answered.ring();
  }
}
