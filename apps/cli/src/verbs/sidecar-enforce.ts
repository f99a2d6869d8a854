import { askSidecar, usualQuietMs } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { wholeNumber } from '../log/whole-number.ts';
import { outputOption } from '../output-option.ts';
import { readinessText } from '../sidecar/readiness-text.ts';
import type { Verb } from '../verb.ts';

interface EnforceOptions {
  readonly data: string;
  readonly port: number;
  readonly budget: number;
  readonly window?: number;
  readonly undo?: boolean;
  readonly output: string;
}

/** `countersign sidecar enforce`: a port is STRICT on trial, and PERMISSIVE again where that refuses too many. */
export const sidecarEnforceVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', 'of the running sidecar')
      .requiredOption('--port <n>', "the application's port", wholeNumber)
      .option(
        '--budget <n>',
        'refused connections in plaintext that are borne with',
        wholeNumber,
        0,
      )
      .addOption(durationOption('--window <time>', 'how long the trial takes; 10m'))
      .option('--undo', 'back to what the configuration says')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: EnforceOptions) => enforce(cli, options));
  },
};

const help = `
The port is STRICT from now on: open connections in plaintext are cut. Where more than the budget is refused within the
window, it is PERMISSIVE again at once, which is logged as an error and told by \`sidecar readiness\`. Where the window
ends without, it stays STRICT, over restarts too; then write it into the configuration.

Example:
  countersign sidecar enforce --data /var/lib/countersign-sidecar --port 8080 --budget 5 --window 30m`;

const usualWindowMs = 600_000;

async function enforce(cli: Cli, options: EnforceOptions): Promise<void> {
  const { data, port, budget, window: windowMs = usualWindowMs, undo, output } = options;
  const asked =
    undo === true
      ? ({ do: 'undo', port, quietMs: usualQuietMs } as const)
      : ({ do: 'enforce', port, budget, windowMs, quietMs: usualQuietMs } as const);
  const ports = (await askSidecar(data, asked)).filter((each) => each.port === port);
  await cli.out(output === 'json' ? `${JSON.stringify(ports, null, 2)}\n` : readinessText(ports));
}
