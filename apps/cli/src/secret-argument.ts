import { CountersignError, Secret } from '@countersign/base';
import type { Cli } from './cli.ts';
import { readInput } from './read-input.ts';

/**
 * A secret as the command line gives it: `@FILE`, `-` for standard input, or the text itself. White space at its end
 * is a line break of the file, not of the secret.
 *
 * @param what for messages: `--token`
 * @throws CountersignError ERR_USAGE where nothing is left, ERR_FILE
 */
export async function readSecret(cli: Cli, written: string, what: string): Promise<Secret<string>> {
  const source = written === '-' ? '-' : /^@(.+)$/s.exec(written)?.[1];
  const bytes = source === undefined ? undefined : await readInput(cli, source, what);
  const text = (bytes === undefined ? written : Buffer.from(bytes).toString('utf8')).trimEnd();
  if (text !== '') return new Secret(text);
  throw new CountersignError('ERR_USAGE', `${what}: the secret is empty`, {
    hint: 'give it as @FILE, or - for standard input',
  });
}

/**
 * One that stays good, unlike a token: whoever lists the processes of the machine reads the command line too.
 *
 * @param note told where that is so
 */
export async function readLastingSecret(
  cli: Cli,
  written: string,
  what: string,
  note: (text: string) => void,
): Promise<Secret<string>> {
  const secret = await readSecret(cli, written, what);
  if (written === '-' || written.startsWith('@')) return secret;
  note(`${what} stands on the command line, which others can read: give it as @FILE or -`);
  return secret;
}
