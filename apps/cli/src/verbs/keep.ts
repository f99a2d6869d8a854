import type { Cli } from '../cli.ts';
import type { KeptReport } from '../keep/keep-pass.ts';
import { keepOnce, runKeep } from '../keep/run-keep.ts';
import { outputOption } from '../output-option.ts';
import { portOption } from '../port-option.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface KeepOptions {
  readonly config: string;
  readonly identity?: string;
  readonly ca?: string;
  readonly token?: string;
  readonly proofKey?: string;
  readonly once?: boolean;
  readonly adminPort?: number;
  readonly output: string;
  readonly logLevel: LogLevel;
}

/** `countersign keep`: certificates in files, kept fresh for whoever reads them. */
export const keepVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'keep.yaml: our entries, and Certificates of cert-manager')
      .option(
        '--identity <dir>',
        'who orders: an identity, renewed there; of the file unless given',
      )
      .option('--ca <url>', 'the authority; of the file or identity.json unless given')
      .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
      .addOption(proofKeyOption())
      .option('--once', 'looks once and ends: 0 also where there was nothing to do')
      .addOption(
        portOption('--admin-port <n>', 'serve /metrics and /healthz on this port, 0 for any'),
      )
      .addOption(outputOption())
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: KeepOptions) => keep(cli, options));
  },
};

const help = `
Files change all at once, with the owner and mode that they are to have; then the entry's command runs, and the consumer is
probed until it serves the new serial. SIGHUP reads the file again. --once is for a timer: 1 where something was refused or a
consumer still serves another certificate, 3 where the authority could not be asked.

Example:
  countersign keep --config /etc/countersign/keep.yaml --once`;

async function keep(cli: Cli, options: KeepOptions): Promise<void> {
  const { config, identity, ca, token, adminPort } = options;
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  const log = createLog(cli, options.logLevel);
  const { proofKey } = await openProofKey(cli, options.proofKey, log);
  const run = {
    config,
    ...(identity !== undefined && { identity }),
    ...(ca !== undefined && { ca }),
    ...(secret !== undefined && { token: secret }),
    ...(adminPort !== undefined && { adminPort }),
    ...proofKey,
  };
  const around = { cli, log, meter: createPrometheusMeter() };
  if (options.once !== true) return runUntilSignal(cli, log, await runKeep(run, around));
  const reports = await keepOnce(run, around);
  await cli.out(options.output === 'json' ? `${json(reports)}\n` : reports.map(text).join(''));
  const failure = reports.find((each) => each.failure !== undefined)?.failure;
  if (failure !== undefined) throw new ExitWith(failure.exit);
}

function json(reports: readonly KeptReport[]): string {
  const rows = reports.map(({ failure, notAfter, renewAt, ...rest }) => ({
    ...rest,
    ...(notAfter === undefined ? {} : { notAfter: new Date(notAfter).toISOString() }),
    ...(renewAt === undefined ? {} : { renewAt: new Date(renewAt).toISOString() }),
    ...(failure === undefined ? {} : { code: failure.code, message: failure.message }),
  }));
  return JSON.stringify(rows, undefined, 2);
}

function text({
  name,
  did,
  reason,
  serial,
  notAfter,
  longer,
  command,
  probe,
  failure,
}: KeptReport): string {
  const what = { nothing: 'fresh', ordered: 'renewed', written: 'written again' }[did];
  const until = notAfter === undefined ? '' : ` until ${new Date(notAfter).toISOString()}`;
  const facts = [
    `${what}${reason === undefined || did === 'nothing' ? '' : `: ${reason}`}`,
    serial === undefined ? undefined : `serial ${serial}${until}`,
    longer,
    command === undefined ? undefined : 'command done',
    probe === undefined ? undefined : 'served by its consumer',
    failure === undefined ? undefined : `${failure.message} (${failure.code})`,
  ];
  const mark = failure === undefined ? 'ok    ' : 'FAILED';
  return `${mark} ${name}  ${facts.filter((fact) => fact !== undefined).join('; ')}\n`;
}
