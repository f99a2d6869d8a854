import type { Cli } from '../cli.ts';
import { portOption } from '../port-option.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { runAgent } from '../serve/run-agent.ts';
import type { Verb } from '../verb.ts';

interface AgentOptions {
  readonly config: string;
  readonly socket?: string;
  readonly identity?: string;
  readonly ca?: string;
  readonly token?: string;
  readonly proofKey?: string;
  readonly adminPort?: number;
  readonly logLevel: LogLevel;
}

/** `countersign agent`: the SPIFFE Workload API and Envoy's SDS for the processes of this machine. */
export const agentVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'agent.yaml')
      .option('--socket <path>', 'where to listen; agent.socket of the file unless given')
      .option('--identity <dir>', "the agent's own identity, renewed there; else in memory alone")
      .option('--ca <url>', 'the authority; of the file or identity.json unless given')
      .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
      .addOption(proofKeyOption())
      .addOption(
        portOption('--admin-port <n>', 'serve /metrics and /healthz on this port, 0 for any'),
      )
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: AgentOptions) => agent(cli, options));
  },
};

const help = `
Prints \`ready unix://PATH\` when it serves, with the admin URL after it where there is one: set SPIFFE_ENDPOINT_SOCKET to
the first for programs with a SPIFFE library. SIGTERM ends it, SIGHUP reads the entries and the identity's directory again.

The authority must let it order for its workloads: name its SPIFFE ID under api.registrars in ca.yaml.

With a section attest in agent.yaml it needs no token: it shows a Kubernetes or OIDC token, or a document of its cloud.

Example:
  countersign agent --config agent.yaml --socket /run/countersign/agent.sock --ca https://ca.internal:8440 --token @token`;

async function agent(cli: Cli, options: AgentOptions): Promise<void> {
  const { token, proofKey: uri, ...rest } = options;
  const log = createLog(cli, options.logLevel);
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  const { proofKey } = await openProofKey(cli, uri, log);
  const running = await runAgent(
    { ...rest, ...proofKey, ...(secret !== undefined && { token: secret }) },
    { cli, log, meter: createPrometheusMeter() },
  );
  await runUntilSignal(cli, log, running);
}
