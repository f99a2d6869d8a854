import { randomBytes } from 'node:crypto';
import { CountersignError, Secret, writeFileDurably } from '@countersign/base';
import { hashPassword } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { readLastingSecret } from '../secret-argument.ts';
import type { Verb } from '../verb.ts';

interface EstPasswordOptions {
  readonly out: string;
  readonly password?: string;
}

/** `countersign est password`: the hash of a user's password, for `est.users` of ca.yaml. */
export const estPasswordVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption(
        '--out <file>',
        'where its hash goes (0600); a file that is there is replaced',
      )
      .option('--password <secret>', '@FILE or -; one is made and printed unless given')
      .addHelpText('after', help)
      .action((options: EstPasswordOptions) => write(cli, options));
  },
};

const help = `
Example:
  countersign est password --out /etc/countersign/line-3.scrypt > password.txt`;

/** Of one that a person chose. */
const leastCharacters = 12;

async function write(cli: Cli, { out, password }: EstPasswordOptions): Promise<void> {
  const made = password === undefined ? randomBytes(24).toString('base64url') : undefined;
  const note = (text: string) => cli.err(`note: ${text}\n`);
  const secret =
    made === undefined
      ? await readLastingSecret(cli, password ?? '', '--password', note)
      : new Secret(made);
  const { length } = secret.reveal();
  if (length < leastCharacters) {
    const message = `est password: it has ${length} characters, at least ${leastCharacters} are expected`;
    throw new CountersignError('ERR_USAGE', message, {
      hint: 'leave --password out, and one is made',
    });
  }
  await writeFileDurably(out, `${await hashPassword(secret)}\n`, { mode: 0o600 });
  if (made !== undefined) await cli.out(`${made}\n`);
}
