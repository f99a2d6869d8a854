/** Values of a label that strangers choose: so many have a series of their own, all further ones share one. */
export class BoundedLabel {
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#most) return 'other';
    this.#known.add(value);
    return value;
  }
}
