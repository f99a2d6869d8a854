/** What a failure means to the shell: 1 the answer is no, 2 usage or configuration, 3 could not find out. */
export type ExitCode = 1 | 2 | 3;

/** One row of the code table. The code itself is the key, a metrics label and the doctor's explanation key. */
export interface CodeRow {
  /** What happened, as one sentence for an operator. */
  readonly meaning: string;
  /** What to do next: a sentence, or the command to run. */
  readonly hint: string;
  readonly exit: ExitCode;
}

export type CodeFamily = Readonly<Record<`ERR_${string}`, CodeRow>>;
