import { Readable } from 'node:stream';
import { systemClock } from '@countersign/base';
import { runProgram } from '../src/program.ts';
import { createStyle } from '../src/style.ts';
import type { Ran, RunOptions } from './countersign.ts';

/**
 * Runs a command that comes to an end in the process of the test: what it loads is loaded once for all of them. What is
 * about the process itself (its streams, its signals, its directory) asks for one: `countersign` of countersign.ts.
 */
export async function countersign(
  words: readonly string[],
  { input, env = {} }: Pick<RunOptions, 'input' | 'env'> = {},
): Promise<Ran> {
  const { FORCE_COLOR: _, ...inherited } = process.env;
  const plain = createStyle(false);
  let stdout = '';
  let stderr = '';
  const code = await runProgram(words, {
    stdin: Readable.from(input === undefined ? [] : [Buffer.from(input)]),
    clock: systemClock,
    env: { ...inherited, ...env },
    async out(text) {
      stdout += text;
    },
    err(text) {
      stderr += text;
    },
    ...{ outStyle: plain, errStyle: plain, outIsTerminal: false, errIsTerminal: false },
  });
  return { code, signal: null, stdout, stderr };
}
