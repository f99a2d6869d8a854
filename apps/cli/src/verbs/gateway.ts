import { prepareDirectory } from '@countersign/base';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { portOption } from '../port-option.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { runGateway } from '../serve/run-gateway.ts';
import type { Verb } from '../verb.ts';

interface GatewayOptions {
  readonly config: string;
  readonly policy?: string[];
  readonly identity?: string;
  readonly ca?: string;
  readonly token?: string;
  readonly proofKey?: string;
  readonly data?: string;
  readonly port?: number;
  readonly adminPort?: number;
  readonly logLevel: LogLevel;
}

/** `countersign gateway`: mTLS on both sides, policies between, revocation on open connections. */
export const gatewayVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption(
        '--config <file>',
        'gateway.yaml, documents of Istio, or an Envoy static bootstrap',
      )
      .addOption(
        listOption('--policy <file>', 'AuthorizationPolicy documents, beside those of the file'),
      )
      .option('--identity <dir>', 'its own identity, renewed there')
      .option('--ca <url>', 'the authority; of the file or identity.json unless given')
      .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
      .addOption(proofKeyOption())
      .option('--data <dir>', 'keeps received revocations; after a crash it starts by them')
      .addOption(
        portOption('--port <n>', 'HTTPS port, 0 for any free one; of the file unless given'),
      )
      .addOption(
        portOption('--admin-port <n>', 'serve /metrics and /healthz on this port, 0 for any'),
      )
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: GatewayOptions) => gateway(cli, options));
  },
};

const help = `
Prints \`ready <url>\` when it serves, with the admin URL after it where there is one. SIGTERM drains and ends it,
SIGHUP reads routes, policies and the identity's directory again.

By what --data keeps, a gateway that crashed starts while the authority is down, for as long as it may be silent. One that
was stopped does not: its lease is given up, nobody waits for its word, and so it lets nobody in before it hears the feed.

Example:
  countersign gateway --config gateway.yaml --policy policies.yaml --identity gateway --port 8443`;

async function gateway(cli: Cli, options: GatewayOptions): Promise<void> {
  const { token, data, proofKey: uri, ...rest } = options;
  const log = createLog(cli, options.logLevel);
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  if (data !== undefined)
    await prepareDirectory(data, `keep revocations in "${data}"`, { mode: 0o700 });
  const { proofKey } = await openProofKey(cli, uri, log);
  const running = await runGateway(
    {
      ...rest,
      ...proofKey,
      ...(data !== undefined && { data }),
      ...(secret !== undefined && { token: secret }),
    },
    { cli, log, meter: createPrometheusMeter() },
  );
  await runUntilSignal(cli, log, running);
}
