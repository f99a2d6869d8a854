import type { Clock } from '@countersign/base';
import { Bell } from './bell.ts';

/** One that is asked over the feed now. */
export interface FeedQuestion {
  readonly id: string;
  /** Frames as they are sent. */
  readonly lines: string;
  /** Who is asked: instances that hold a lease, each with its holder. What is going to be revoked is nobody else's business. */
  readonly of: ReadonlyMap<string, string>;
  readonly answers: Map<string, number>;
}

/** Each has every gateway look through its connections. */
const mostOpen = 16;

/** Questions to everybody who follows the feed, each open for a few seconds; answers come with the lease. */
export class FeedQuestions {
  readonly #open = new Map<string, FeedQuestion>();
  readonly #answered = new Bell();

  /** Those that concern one follower. */
  *of(holder: string, instance: string): Generator<FeedQuestion> {
    for (const question of this.#open.values()) {
      if (question.of.get(instance) === holder) yield question;
    }
  }

  /**
   * Asks, and waits until each of these instances has answered, for `waitMs`, or until the signal.
   *
   * @returns what each answered; undefined where too many others are asked now
   */
  async ask(
    question: Omit<FeedQuestion, 'answers'>,
    wait: { readonly waitMs: number; readonly clock: Clock; readonly signal?: AbortSignal },
    ring: () => void,
  ): Promise<ReadonlyMap<string, number> | undefined> {
    if (this.#open.size >= mostOpen) return undefined;
    const { waitMs, clock, signal } = wait;
    const answers = new Map<string, number>();
    this.#open.set(question.id, { ...question, answers });
    const deadline = clock.monotonic() + waitMs;
    try {
      ring();
      for (;;) {
        const { rings } = this.#answered;
        const left = deadline - clock.monotonic();
        const isDone = [...question.of.keys()].every((instance) => answers.has(instance));
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
