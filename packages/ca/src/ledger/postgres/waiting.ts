import type { OperationName } from '../ledger-front.ts';
import type { Operation, Outcome } from './run-operations.ts';

/** An operation that somebody waits for, until it is answered or its time is over. */
export class Waiting implements Operation {
  readonly name: OperationName;
  readonly args: readonly unknown[];
  readonly at: number;
  readonly promise: Promise<unknown>;
  readonly #settle: { resolve(value: unknown): void; reject(thrown: unknown): void };
  readonly #timer: NodeJS.Timeout;
  #isSettled = false;

  constructor(
    operation: Operation,
    limit: { readonly timeoutMs: number; readonly late: () => unknown },
  ) {
    this.name = operation.name;
    this.args = operation.args;
    this.at = operation.at;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.promise = promise;
    this.#settle = { resolve, reject };
    this.#timer = setTimeout(() => this.reject(limit.late()), limit.timeoutMs);
  }

  /** Whether its caller has an answer: what becomes of it later reaches nobody. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  settle(outcome: Outcome | undefined): void {
    if (outcome?.ok === true) {
      this.#end();
      this.#settle.resolve(outcome.value);
    } else {
      this.reject(outcome?.error ?? new TypeError('an operation was left out'));
    }
  }

  reject(thrown: unknown): void {
    this.#end();
    this.#settle.reject(thrown);
  }

  #end(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
  }
}
