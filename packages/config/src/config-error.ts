import { CountersignError, type ErrorCode } from '@countersign/base';

/** One finding in a configuration file. */
export interface ConfigIssue {
  readonly code: ErrorCode;
  /** Without the position. */
  readonly message: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Dotted, such as `ca.intermediate.services.validity`; empty for the whole file. */
  readonly path: string;
}

/**
 * A configuration file that cannot be used. `message` is the first issue with its position
 * (`ca.yaml:12:5: unknown key "intermediat" …`) and how many more there are; `issues` has them all.
 */
export class ConfigError extends CountersignError {
  readonly file: string;
  readonly issues: readonly ConfigIssue[];

  constructor(file: string, issues: readonly [ConfigIssue, ...ConfigIssue[]]) {
    const [first] = issues;
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
    super(first.code, `${formatIssue(file, first)}${more}`, {
      fields: { file, line: first.line, column: first.column, path: first.path },
    });
    this.file = file;
    this.issues = issues;
  }
}

/** `file:line:column: message`, as compilers write it, so that editors can jump there. */
export function formatIssue(file: string, issue: ConfigIssue): string {
  return `${file}:${issue.line}:${issue.column}: ${issue.message}`;
}
