import { prepareDirectory } from '@countersign/base';
import type { Cli } from '../cli.ts';
import { portOption } from '../port-option.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { type RunRouterOptions, runRouter } from '../serve/run-router.ts';
import type { Verb } from '../verb.ts';

interface RouterOptions extends RunRouterOptions {
  readonly logLevel: LogLevel;
}

/** `countersign router`: federated GraphQL, each hop of which is mTLS. */
export const routerVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'router.yaml')
      .addOption(portOption('--port <n>', 'port, 0 for any free one; of the file unless given'))
      .addOption(
        portOption(
          '--admin-port <n>',
          'serve /metrics and /healthz on this loopback port, 0 for any',
        ),
      )
      .option('--identity <dir>', 'with issuer: in the file, keeps its identity for the next start')
      .option('--data <dir>', 'keeps received revocations; after a crash it starts by them')
      .option('--force-fallback', 'allow_fallback is meant, with NODE_ENV=production too')
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: RouterOptions) => serve(cli, options));
  },
};

const help = `
Prints \`ready <url>\` when it serves: operations go to /graphql there unless the file says otherwise, /health and
/health/mtls say how it is. SIGTERM drains and ends it, SIGHUP reads the file and the supergraph again; a supergraph's
file that changes is taken over by itself.

Example:
  countersign router --config router.yaml --port 4000`;

async function serve(cli: Cli, options: RouterOptions): Promise<void> {
  const log = createLog(cli, options.logLevel);
  if (options.data !== undefined)
    await prepareDirectory(options.data, `keep revocations in "${options.data}"`, { mode: 0o700 });
  const running = await runRouter(options, { cli, log, meter: createPrometheusMeter() });
  await runUntilSignal(cli, log, running);
}
