/** An operation failed that had written something, outside a savepoint: its whole batch is void. */
export class HalfWritten extends Error {
  constructor(cause: unknown) {
    super('an operation failed after it had written', { cause });
  }
}
