import type { ResponseError } from '../execute/response-error.ts';
import { atAnswer } from '../operation/planner-alias.ts';

type ErrorPath = readonly (string | number)[];

/** Errors of subgraphs on their way to the part of an answer that they explain. */
export class ErrorBook {
  readonly #byPath = new Map<string, ResponseError[]>();

  add(errors: readonly ResponseError[]): void {
    for (const each of errors) {
      const error = atAnswer(each);
      const key = JSON.stringify(error.path ?? []);
      const known = this.#byPath.get(key) ?? [];
      known.push(error);
      this.#byPath.set(key, known);
    }
  }

  /** The error that explains a null: of this place, or of one that it stands in. */
  take(path: ErrorPath): ResponseError | undefined {
    if (this.#byPath.size === 0) return undefined;
    for (let length = path.length; length > 0; length -= 1) {
      const key = JSON.stringify(path.slice(0, length));
      const error = this.#byPath.get(key)?.shift();
      if (error === undefined) continue;
      if (this.#byPath.get(key)?.length === 0) this.#byPath.delete(key);
      return error;
    }
    return undefined;
  }

  /** What explains no null. */
  rest(): readonly ResponseError[] {
    const all = [...this.#byPath.values()].flat();
    this.#byPath.clear();
    return all;
  }
}
