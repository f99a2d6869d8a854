import type { GatewayModel } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { adminOption, askAdmin } from '../gateway-admin/ask-admin.ts';
import { outputOption } from '../output-option.ts';
import { printable } from '../printable.ts';
import type { Verb } from '../verb.ts';

interface ConfigDumpOptions {
  readonly admin: string;
  readonly output: string;
}

/** As the admin page has it; the rest of it is for programs. */
interface Shown {
  readonly model: GatewayModel;
  readonly policies: Readonly<Record<string, readonly string[]>>;
}

/** `countersign gateway config-dump`: by what a running gateway, sidecar or tunnel goes. */
export const gatewayConfigDumpVerb: Verb = {
  define(command, cli) {
    command
      .addOption(adminOption())
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: ConfigDumpOptions) => configDump(cli, options));
  },
};

const help = `
For people where it listens, where it leads and which policies are in force; the whole of it with -o json, where what
may be secret is "(hidden)".

Example:
  countersign gateway config-dump --admin http://127.0.0.1:9090 -o json`;

async function configDump(cli: Cli, { admin, output }: ConfigDumpOptions): Promise<void> {
  const shown = (await askAdmin(admin, '/config_dump')) as Shown;
  if (output === 'json') return cli.out(`${JSON.stringify(shown, null, 2)}\n`);
  const { listeners, clusters } = shown.model;
  const lines = [
    ...listeners.map(({ name, address, port, path, chains: [{ protocol, tls }] }) => {
      const auth = tls === undefined ? 'clear text' : `client certificates: ${tls.clientAuth}`;
      return `listener ${name}: ${path ?? `${address} port ${port}`}, ${protocol}, ${auth}`;
    }),
    ...clusters.map(({ name, endpoints, tls }) => {
      const at = endpoints.map(({ host, port, path }) => path ?? `${host} port ${port}`);
      const who = tls?.expect.spiffeIds?.join(' or ') ?? (tls === undefined ? 'clear text' : 'TLS');
      return `upstream ${name}: ${at.join(', ')}, ${who}`;
    }),
    ...Object.entries(shown.policies).flatMap(([action, names]) =>
      names.map((name) => `policy ${name}: ${action}`),
    ),
  ];
  await cli.out(`${lines.map(printable).join('\n')}\n`);
}
