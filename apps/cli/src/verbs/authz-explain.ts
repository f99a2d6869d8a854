import { formatRules, TableTrial } from '@countersign/authz';
import { CountersignError } from '@countersign/base';
import { type AuthzOptions, addAuthzOptions, readAuthzOptions } from '../authz-options.ts';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { portOption } from '../port-option.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface Options extends AuthzOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly label?: readonly string[];
  readonly protocol?: string;
  readonly principal?: string;
  readonly sourceIp?: string;
  readonly remoteIp?: string;
  readonly destinationIp?: string;
  readonly port?: number;
  readonly sni?: string;
  readonly host?: string;
  readonly method?: string;
  readonly path?: string;
  readonly header?: readonly string[];
  readonly claims?: string;
  readonly output: string;
}

/** `countersign authz explain`: why a request is allowed or denied, clause by clause. */
export const authzExplainVerb: Verb = {
  define(command, cli) {
    addAuthzOptions(command)
      .option('--namespace <name>', 'of the workload that is asked', 'default')
      .option('--service-account <name>', 'of the workload that is asked', 'default')
      .addOption(listOption('--label <name=value>', 'of the workload; may be repeated'))
      .option('--protocol <name>', "what the workload's service declares for the port: http, tcp …")
      .option('--principal <id>', 'the caller; without it, plaintext')
      .option('--source-ip <address>', 'where the connection comes from')
      .option('--remote-ip <address>', 'the client behind trusted proxies')
      .option('--destination-ip <address>', 'where it goes to')
      .addOption(portOption('--port <n>', 'the port that it goes to'))
      .option('--sni <name>', 'what the TLS handshake asks for')
      .option('--host <name>', 'of the request, with its port')
      .option('--method <method>', 'of the request; without it, a raw TCP connection')
      .option('--path <path>', 'of the request, / unless given')
      .addOption(listOption('--header <name: value>', 'of the request; may be repeated'))
      .option('--claims <json>', 'of a verified token')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: Options) => explainRequest(cli, options));
  },
};

const help = `
Says what the proxy of the workload would answer, then every rule with what keeps it from applying, and which of the
ALLOW rules came closest. Exits 1 where the answer is DENY.

Example:
  countersign authz explain --policy policies.yaml --namespace prod --label app=orders \\
    --principal cluster.local/ns/prod/sa/web --port 8080 --method GET --path /orders`;

async function explainRequest(cli: Cli, options: Options): Promise<void> {
  const { policies, mesh } = await readAuthzOptions(cli, 'authz explain', options);
  const trial = new TableTrial(policies, mesh);
  const { got, reason, explained } = trial.try({
    workload: workloadOf(options),
    request: requestOf(options),
  });
  if (options.output === 'json') {
    const { rules = [], closest = null, dropped = [] } = explained ?? {};
    const report = { got, reason, closest, rules, dropped };
    await cli.out(`${JSON.stringify(report, null, 2)}\n`);
  } else {
    const { green, red } = cli.outStyle;
    const verdict = got === 'ALLOW' ? green(got) : red(got);
    const lines = explained === undefined ? [] : formatRules(explained);
    await cli.out(`${[`${verdict}: ${reason}`, ...lines].join('\n')}\n`);
  }
  if (got === 'DENY') throw new ExitWith(1);
}

function workloadOf({ namespace, serviceAccount, label = [], port, protocol }: Options) {
  const ports = new Map<number, string>();
  if (protocol !== undefined && port !== undefined) ports.set(port, protocol);
  const labels = Object.fromEntries(label.map((each) => split(each, '=', '--label')));
  return { namespace, serviceAccount, labels, ports };
}

function requestOf(options: Options) {
  const { header = [], claims } = options;
  return {
    principal: options.principal,
    sourceIp: options.sourceIp,
    remoteIp: options.remoteIp,
    destinationIp: options.destinationIp,
    port: options.port,
    sni: options.sni,
    host: options.host,
    method: options.method,
    path: options.path,
    headers: header.flatMap((each) => split(each, ':', '--header')),
    jwt: claims === undefined ? undefined : readClaims(claims),
  };
}

function split(written: string, separator: string, option: string): [string, string] {
  const at = written.indexOf(separator);
  if (at > 0) return [written.slice(0, at).trim(), written.slice(at + 1).trim()];
  const message = `authz explain: ${option} "${written}" has no "${separator}"`;
  throw new CountersignError('ERR_USAGE', message);
}

function readClaims(written: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(written);
    if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) {
      return claims as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Said below, for either reason.
  }
  throw new CountersignError('ERR_USAGE', 'authz explain: --claims is no JSON object');
}
