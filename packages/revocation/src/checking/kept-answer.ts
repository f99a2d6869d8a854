import type { Moment } from '../feed-silence.ts';
import type { Validity } from './refresh-time.ts';

/** What is known about one subject, and how the look-ups for it go. Owned by {@link KeptAnswers}. */
export interface Kept<Subject, Answer extends Validity> {
  readonly key: string;
  /** What is asked about; the newest asker's. */
  subject: Subject;
  answer: Answer | undefined;
  /** When it came, or was last confirmed. */
  at: Moment | undefined;
  /** Why the last look-up failed; undefined after one that succeeded. */
  failure: string | undefined;
  failures: number;
  pending: Promise<void> | undefined;
  /** Of the next look-up, on the monotonic clock. */
  dueAt: number;
  /** On the monotonic clock. */
  usedAt: number;
  isUsable: boolean;
  isFresh: boolean;
}

/** Until when what was heard last holds, by both clocks: one that was set back makes nothing younger. */
export function holds(
  { answer, at }: Pick<Kept<unknown, Validity>, 'answer' | 'at'>,
  now: Moment,
  graceMs: number,
): boolean {
  if (answer === undefined || at === undefined) return false;
  const elapsedMs = Math.max(now.wall - at.wall, now.monotonic - at.monotonic);
  // RFC 5280 §5.1.2.5, RFC 6960 §4.2.2.1: the end is a whole second and belongs to the period
  return at.wall + elapsedMs <= answer.nextUpdate + 999 + graceMs;
}
