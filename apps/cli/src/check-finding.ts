import { type CountersignError, codeTable, type ErrorCode } from '@countersign/base';
import { ConfigError } from '@countersign/config';
import { failureOf } from './report-error.ts';

/** What is wrong at one place; without a place it is the whole file. */
export interface Finding {
  /** The one that is checked, or one that it names. */
  readonly file: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly path: string | null;
  /** The request that shows it, and what becomes of it. */
  readonly example?: unknown;
}

export function findingsOf(thrown: CountersignError, file: string): Finding[] {
  if (!(thrown instanceof ConfigError)) {
    const { code, message, hint } = failureOf(thrown);
    return [{ file, code, message, hint, line: null, column: null, path: null }];
  }
  return thrown.issues.map((issue) => ({
    ...{ file: thrown.file, ...issue },
    hint: hintOf(issue.code),
  }));
}

function hintOf(code: ErrorCode): string {
  return codeTable[code].hint;
}
