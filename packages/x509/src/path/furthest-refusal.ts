import type { PathRefused } from './path-request.ts';

/** How much a refusal tells, among those met equally far from the leaf. */
export const weights = {
  /** Nobody of that name is there. */
  noIssuer: 0,
  /** Somebody has the name, perhaps not the key. */
  namesake: 1,
  /** The likely issuer breaks a rule. */
  rule: 2,
  /** The issuer's signature verifies, and a rule is broken. */
  proven: 3,
} as const;

/**
 * Keeps the refusal of the path that came furthest. One that would have led to an anchor beats any
 * that would not.
 */
export class FurthestRefusal {
  #refusal: PathRefused | undefined;
  #rank = -1;

  /** `depth` is the place of the certificate that the search stood at, 0 for the leaf. */
  note(
    refusal: PathRefused,
    { depth, weight, promising }: { depth: number; weight: number; promising: boolean },
  ): void {
    const onTheWay = promising && weight !== weights.namesake;
    const rank = (onTheWay ? 1e6 : 0) + depth * 4 + weight;
    // the first of its rank stays: candidates come likeliest first
    if (rank <= this.#rank) return;
    this.#rank = rank;
    this.#refusal = refusal;
  }

  get refusal(): PathRefused | undefined {
    return this.#refusal;
  }
}
