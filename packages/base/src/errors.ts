import type { ExitCode } from './code-row.ts';
import { codeTable, type ErrorCode } from './error-codes.ts';

/** Facts of a failure, by name: both sides of the comparison, never a secret. */
export type Fields = Readonly<Record<string, unknown>>;

export interface CountersignErrorOptions {
  readonly fields?: Fields;
  /** Replaces the table's hint where this place knows a better next step. */
  readonly hint?: string;
  /** Replaces the table's exit code: 2 for a file of the command line that cannot be read as what it is to be. */
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/**
 * A broken thing: thrown. What is expected to be refused is a {@link Denial} instead.
 * `message` is a lowercase fragment: what was attempted on what, then both sides of the comparison, no period.
 */
export class CountersignError extends Error {
  readonly code: ErrorCode;
  readonly fields: Fields;
  readonly #hint: string | undefined;
  readonly #exit: ExitCode | undefined;

  constructor(code: ErrorCode, message: string, options: CountersignErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CountersignError';
    this.code = code;
    this.fields = options.fields ?? {};
    this.#hint = options.hint;
    this.#exit = options.exit;
  }

  get hint(): string {
    return this.#hint ?? codeTable[this.code].hint;
  }

  get exit(): ExitCode {
    return this.#exit ?? codeTable[this.code].exit;
  }
}

/** An expected refusal: a value, never thrown. `detail` is a fragment for the operator, not for a stranger. */
export interface Denial {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields: Fields;
}

export function denial(code: ErrorCode, detail: string, fields: Fields = {}): Denial {
  return { ok: false, code, detail, fields };
}

/** For the edge where a refusal must become a throw, such as a command that ends with it. */
export function errorOfDenial(refused: Denial, attempted?: string): CountersignError {
  const message = attempted === undefined ? refused.detail : `${attempted}: ${refused.detail}`;
  return new CountersignError(refused.code, message, { fields: refused.fields });
}

/** The message of anything thrown, for a log line. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
