import { writeFileDurably } from '@countersign/base';
import { formatCeremony, signRequest } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { readLastingSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { addSealOptions } from '../state/state-options.ts';
import { takingPart, whoOption } from '../state/who-option.ts';
import type { Verb } from '../verb.ts';

interface SignOptions {
  readonly root: string;
  readonly csr: string;
  readonly out: string;
  readonly by?: string[];
  readonly passphrase?: string;
  readonly keyFile?: string;
  readonly output: string;
}

/** `countersign sign`: an offline root signs the request of an intermediate, and prints the record of it. */
export const signVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .requiredOption('--root <dir>', 'the offline root, made by init --offline-root --root-out')
        .requiredOption('--csr <file>', 'a request that was carried here: requests/NAME.csr')
        .requiredOption('--out <file>', 'where to write the certificate, PEM, to be carried back'),
    )
      .addOption(whoOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: SignOptions) => sign(cli, options));
  },
};

const help = `
Signs exactly what the root's own ca.yaml has for that intermediate, each request once; the record of the ceremony is
printed, and kept in the root's directory.

Example:
  countersign sign --root /media/vault/root --csr production.csr --out production.pem --by "Alice Adams" --by "Bob Berg"`;

async function sign(cli: Cli, options: SignOptions): Promise<void> {
  const { root, csr, out, passphrase, keyFile } = options;
  const bytes = await readInput(cli, csr, 'read request');
  const signed = await signRequest({
    directory: root,
    request: Buffer.from(bytes).toString('utf8'),
    file: csr,
    by: takingPart(options.by),
    clock: cli.clock,
    secrets: secretPlaces(cli),
    log: createLog(cli, 'warn'),
    ...(keyFile !== undefined && { keyFile }),
    ...(passphrase !== undefined && {
      passphrase: await readLastingSecret(cli, passphrase, '--passphrase', (text) =>
        cli.err(`note: ${text}\n`),
      ),
    }),
  });
  await writeFileDurably(out, signed.pem);
  if (signed.repeated) cli.err('note: it was signed before; this is that certificate again\n');
  const { record, name } = signed;
  await cli.out(
    options.output === 'json'
      ? `${JSON.stringify({ name, out, repeated: signed.repeated, record }, null, 2)}\n`
      : formatCeremony(record),
  );
}
