/** One statement; it is prepared once a connection under its name, so a name always has the same text. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}
