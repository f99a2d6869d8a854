/** Which fields that move between subgraphs bit by bit (`@override(from:, label:)`) have moved, for one operation. */
export interface Rollout {
  /** Labels of the configuration that hold. */
  readonly labels: ReadonlySet<string>;
  /** Where this operation stands among all, from 0 to 100: `percent(n)` holds below n. */
  readonly percentage: number;
  /** The same for all operations that are planned alike. */
  readonly key: string;
}

/** By label: whether it holds, or for how many per cent of the operations. */
export type OverrideLabels = Readonly<Record<string, boolean | number>>;

/**
 * The progressive overrides of a supergraph (Federation 2.7): each operation draws one number, by which all of its
 * labels are judged, so that it sees one state of the move.
 */
export class ProgressiveOverride {
  readonly #labels: readonly (readonly [label: string, below: number])[];
  readonly #steps: readonly number[];
  readonly #draw: () => number;
  readonly #fixed: Rollout | undefined;

  /**
   * @param known labels and percentages that the supergraph names
   * @param draw from 0 to below 100
   */
  constructor(
    known: { readonly labels: readonly string[]; readonly percentages: readonly number[] },
    configured: OverrideLabels,
    draw: () => number,
  ) {
    this.#labels = known.labels.map((label) => [label, percentageOf(configured[label])]);
    const below = [...known.percentages, ...this.#labels.map(([, each]) => each)];
    this.#steps = [...new Set(below)].filter((each) => each > 0 && each < 100);
    this.#draw = draw;
    this.#fixed = this.#steps.length === 0 ? this.#at(0) : undefined;
  }

  /** Labels of the configuration that no field of the supergraph has. */
  static unknown(labels: readonly string[], configured: OverrideLabels): readonly string[] {
    return Object.keys(configured).filter((each) => !labels.includes(each));
  }

  next(): Rollout {
    return this.#fixed ?? this.#at(this.#draw());
  }

  #at(percentage: number): Rollout {
    const labels = this.#labels.flatMap(([label, below]) => (percentage < below ? [label] : []));
    const passed = this.#steps.filter((each) => percentage < each).length;
    return { labels: new Set(labels), percentage, key: String(passed) };
  }
}

function percentageOf(configured: boolean | number | undefined): number {
  if (typeof configured === 'number') return configured;
  return configured === true ? 100 : 0;
}
