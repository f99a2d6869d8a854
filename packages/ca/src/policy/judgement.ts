import type { Denial } from '@countersign/base';

/**
 * A judgement that goes on after a refusal: yields each refusal, and gives its answer in the end where there is one.
 * Who issues stops at the first; who explains reads them all.
 */
export type Judgement<T> = Generator<Denial, T | undefined, void>;

/** The first refusal, or the answer. */
export function firstAnswer<T>(
  judgement: Judgement<T>,
): { readonly ok: true; readonly answer: T } | Denial {
  const step = judgement.next();
  if (step.done !== true) return step.value;
  if (step.value !== undefined) return { ok: true, answer: step.value };
  throw new TypeError('a judgement without refusal has an answer');
}

/** Every refusal, and the answer where there is one. */
export function wholeAnswer<T>(judgement: Judgement<T>): {
  readonly refusals: readonly Denial[];
  readonly answer: T | undefined;
} {
  const refusals: Denial[] = [];
  for (let step = judgement.next(); ; step = judgement.next()) {
    if (step.done === true) return { refusals, answer: step.value };
    refusals.push(step.value);
  }
}
