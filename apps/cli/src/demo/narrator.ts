import type { Cli } from '../cli.ts';

/** Prints the story a line a step, with the time that the step took. */
export class Narrator {
  readonly #cli: Cli;
  #step = 0;

  constructor(cli: Cli) {
    this.#cli = cli;
  }

  async title(): Promise<void> {
    const { bold, dim, green, red, cyan } = this.#cli.outStyle;
    await this.#cli.out(
      `${bold('countersign demo')}: every service gets a short-lived identity, and only the right ones may talk\n\n`,
    );
    if (!this.#cli.outIsTerminal) return;
    await this.#cli.out(
      [
        `   ${cyan('shop')}     ${green('──mTLS──▶')} ┌─────────┐ ${green('──mTLS──▶')} ${cyan('orders')}`,
        `   ${cyan('payments')} ${green('──mTLS──▶')} │ ${bold('gateway')} │ ${green('──mTLS──▶')} ${cyan('payments')}`,
        `   ${cyan('reports')}  ${red('────╳')}     └─────────┘`,
        `                       ▲  ${dim('revocations, as they happen')}`,
        `                 ┌───────────┐`,
        `                 │ ${bold('authority')} │ ${dim('gives each of them a certificate')}`,
        `                 └───────────┘`,
        '',
        '',
      ].join('\n'),
    );
  }

  async step(word: string, text: string, ms?: number): Promise<void> {
    this.#step += 1;
    const { bold, dim, green } = this.#cli.outStyle;
    const number = dim(String(this.#step).padStart(2));
    const took = ms === undefined ? '' : ` ${dim(`(${Math.round(ms)} ms)`)}`;
    await this.#cli.out(`${number} ${green('✓')} ${bold(word.padEnd(12))} ${text}${took}\n`);
  }

  async text(text: string): Promise<void> {
    await this.#cli.out(text);
  }
}
