import { prepareDirectory } from '@countersign/base';
import { startSidecar } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { portOption } from '../port-option.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { runGateway } from '../serve/run-gateway.ts';
import { readSidecarFiles } from '../sidecar/sidecar-files.ts';
import type { Verb } from '../verb.ts';

interface SidecarOptions {
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

/** `countersign sidecar`: mTLS for an application that knows none, both ways. */
export const sidecarVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'sidecar.yaml')
      .addOption(
        listOption(
          '--policy <file>',
          'AuthorizationPolicy and PeerAuthentication documents, beside those of the file',
        ),
      )
      .option('--identity <dir>', 'its own identity, renewed there')
      .option('--ca <url>', 'the authority; of the file or identity.json unless given')
      .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
      .addOption(proofKeyOption())
      .option('--data <dir>', 'keeps what was seen of its ports, and received revocations')
      .addOption(
        portOption('--port <n>', 'of the first listener, 0 for any; of the file unless given'),
      )
      .addOption(
        portOption('--admin-port <n>', 'serve /metrics, /status and /healthz there, 0 for any'),
      )
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: SidecarOptions) => sidecar(cli, options));
  },
};

const help = `
Prints \`ready <url>…\` when it serves: each listener in the order of the file, then the admin URL where there is one.
SIGTERM drains and ends it, SIGHUP reads modes, destinations, policies and the identity's directory again.

Example:
  countersign sidecar --config sidecar.yaml --identity payments --data /var/lib/countersign-sidecar`;

async function sidecar(cli: Cli, options: SidecarOptions): Promise<void> {
  const { token, data, proofKey: uri, ...rest } = options;
  const log = createLog(cli, options.logLevel);
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  if (data !== undefined) {
    await prepareDirectory(data, `keep what is seen in "${data}"`, { mode: 0o700 });
  }
  const { proofKey } = await openProofKey(cli, uri, log);
  let files = await readSidecarFiles(cli, options);
  if (files.policies.length === 0 && files.sidecar.written.inbound.length > 0) {
    const told =
      'no policy is given: everybody whom the mode of a port lets in may call everything';
    log.warn({}, told);
  }
  const running = await runGateway(
    {
      ...{ ...rest, ...proofKey, who: 'sidecar' },
      ...(data !== undefined && { data }),
      ...(secret !== undefined && { token: secret }),
      async read() {
        files = await readSidecarFiles(cli, options);
        return files;
      },
      start: (gateway) =>
        startSidecar({
          ...gateway,
          inboundPorts: files.sidecar.written.inbound.map(({ port }) => port),
          ...{ modes: () => files.modes, data },
        }),
    },
    { cli, log, meter: createPrometheusMeter() },
  );
  await runUntilSignal(cli, log, running);
}
