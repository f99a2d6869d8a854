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
 * A configuration file that cannot be used. `message` is the first unknown key or else the first issue, with its
 * position (`ca.yaml:12:5: unknown key "intermediat" …`) and how many more there are; `issues` has them all.
 */
export class ConfigError extends CountersignError {
  readonly file: string;
  readonly issues: readonly ConfigIssue[];

  constructor(file: string, issues: readonly [ConfigIssue, ...ConfigIssue[]]) {
    // A misspelt key makes the right one look missing: it is the one to be told.
    const told = issues.find(({ code }) => code === 'ERR_CONFIG_UNKNOWN_KEY') ?? issues[0];
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
    super(told.code, `${formatIssue(file, told)}${more}`, {
      fields: { file, line: told.line, column: told.column, path: told.path },
    });
    this.file = file;
    this.issues = issues;
  }
}

/**
 * Runs every check, and throws what all of them found as one.
 *
 * @param checks each throws a ConfigError about the same file, or returns
 * @throws ConfigError
 */
export function checkAll(file: string, checks: readonly (() => void)[]): void {
  const issues: ConfigIssue[] = [];
  for (const check of checks) {
    try {
      check();
    } catch (thrown) {
      if (!(thrown instanceof ConfigError)) throw thrown;
      issues.push(...thrown.issues);
    }
  }
  const [first, ...rest] = issues.toSorted((a, b) => a.line - b.line || a.column - b.column);
  if (first !== undefined) throw new ConfigError(file, [first, ...rest]);
}

/** `file:line:column: message`, as compilers write it, so that editors can jump there. */
export function formatIssue(file: string, issue: ConfigIssue): string {
  return `${file}:${issue.line}:${issue.column}: ${issue.message}`;
}
