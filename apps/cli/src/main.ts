import process from 'node:process';
import { systemCli } from './cli.ts';
import { runProgram } from './program.ts';

/** The process's entry: runs the command line that the process was started with, and ends with its exit code. */
export async function main(): Promise<void> {
  // `countersign … | head` closes our output early; that is the reader's right and no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    // Otherwise the verb that wrote is told, and what it did not write is its failure.
  });
  const exitCode = await runProgram(process.argv.slice(2), systemCli());
  process.exitCode = exitCode;
  process.stdout.write('', () => process.exit(exitCode));
}
