import { askSidecar, usualQuietMs } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { outputOption } from '../output-option.ts';
import { readinessText } from '../sidecar/readiness-text.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface ReadinessOptions {
  readonly data: string;
  readonly quiet?: number;
  readonly output: string;
}

/** `countersign sidecar readiness`: who still comes in plaintext, and which ports can be STRICT. */
export const sidecarReadinessVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', 'of the running sidecar')
      .addOption(
        durationOption('--quiet <time>', 'how long nobody may have come in plaintext; 24h'),
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: ReadinessOptions) => readiness(cli, options));
  },
};

const help = `
Exits 0 where every port can be STRICT, 1 where one cannot. Time in which no sidecar watched does not count as quiet.

Example:
  countersign sidecar readiness --data /var/lib/countersign-sidecar --quiet 72h`;

async function readiness(cli: Cli, { data, quiet, output }: ReadinessOptions): Promise<void> {
  const ports = await askSidecar(data, { do: 'readiness', quietMs: quiet ?? usualQuietMs });
  const text = output === 'json' ? `${JSON.stringify(ports, null, 2)}\n` : readinessText(ports);
  await cli.out(text);
  if (ports.some(({ isSafe }) => !isSafe)) throw new ExitWith(1);
}
