import { CountersignError, codeTable, type Denial, messageOf } from '@countersign/base';
import type { Cli } from './cli.ts';
import { printable } from './printable.ts';

/** What a person or a program needs to know of a failure; the shape of `-o json` errors. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly exit: 1 | 2 | 3;
}

/** The failure that anything thrown stands for; what is not ours is a defect, except the machine's file errors. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof CountersignError) {
    return {
      code: thrown.code,
      message: oneLine(thrown.message),
      hint: oneLine(thrown.hint),
      exit: thrown.exit,
    };
  }
  const code = isFileError(thrown) ? 'ERR_FILE' : 'ERR_INTERNAL';
  return {
    code,
    message: oneLine(messageOf(thrown)),
    hint: codeTable[code].hint,
    exit: codeTable[code].exit,
  };
}

/** The failure that a refusal stands for, with what was attempted in front. */
export function failureOfDenial(denied: Denial, attempted: string): Failure {
  const row = codeTable[denied.code];
  return {
    code: denied.code,
    message: oneLine(`${attempted}: ${denied.detail}`),
    hint: row.hint,
    exit: row.exit,
  };
}

/** Three lines on standard error: what and why, hint, code. As JSON, one line with the same four values. */
export function reportFailure(cli: Cli, failure: Failure, json: boolean): void {
  if (json) {
    cli.err(`${JSON.stringify({ error: failure })}\n`);
    return;
  }
  const { red, dim } = cli.errStyle;
  cli.err(`${red(failure.message)}\nhint: ${failure.hint}\n${dim(failure.code)}\n`);
}

function isFileError(thrown: unknown): boolean {
  return thrown instanceof Error && 'syscall' in thrown && 'path' in thrown;
}

/** File content reaches messages as quoted values: a line break there must not forge a second line. */
function oneLine(text: string): string {
  return printable(text.replaceAll(/\s*\n\s*/g, '; '));
}
