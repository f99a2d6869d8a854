import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { adminOption, askAdmin } from '../gateway-admin/ask-admin.ts';
import { wholeNumber } from '../log/whole-number.ts';
import { outputOption } from '../output-option.ts';
import { printable } from '../printable.ts';
import { roughDuration } from '../relative-time.ts';
import type { Verb } from '../verb.ts';

interface ConnectionsOptions {
  readonly admin: string;
  readonly spiffeId?: string;
  readonly direction?: string;
  readonly limit?: number;
  readonly output: string;
}

/** As the admin page has them. */
interface Shown {
  readonly total: number;
  readonly connections: readonly {
    readonly direction: string;
    readonly listener: string;
    readonly peer: string;
    readonly serial?: string;
    readonly remote: string;
    readonly ageSeconds: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  }[];
}

/** `countersign gateway connections`: who is connected to a running gateway, sidecar or tunnel. */
export const gatewayConnectionsVerb: Verb = {
  define(command, cli) {
    command
      .addOption(adminOption())
      .option('--spiffe-id <id>', 'only this peer; with * at its end all that begin so')
      .addOption(
        new Option('--direction <direction>', 'only clients, or only upstreams').choices([
          'inbound',
          'outbound',
        ]),
      )
      .option('--limit <n>', 'so many at most (default: 1000)', wholeNumber)
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: ConnectionsOptions) => connections(cli, options));
  },
};

const help = `
Example:
  countersign gateway connections --admin http://127.0.0.1:9090 --spiffe-id 'spiffe://example.com/ns/prod/*'`;

async function connections(cli: Cli, options: ConnectionsOptions): Promise<void> {
  const { admin, spiffeId, direction, limit, output } = options;
  const query = new URLSearchParams();
  if (spiffeId !== undefined) query.set('spiffe_id', spiffeId);
  if (direction !== undefined) query.set('direction', direction);
  if (limit !== undefined) query.set('limit', String(limit));
  const shown = (await askAdmin(admin, `/connections?${query}`)) as Shown;
  if (output === 'json') return cli.out(`${JSON.stringify(shown, null, 2)}\n`);
  const lines = shown.connections.map(
    ({ direction: way, peer, serial, remote, listener, ageSeconds, bytesIn, bytesOut }) =>
      [
        `${way === 'inbound' ? 'from' : 'to'} ${printable(peer)}`,
        `  ${remote} at ${listener}, since ${roughDuration(ageSeconds * 1000)}`,
        `  ${bytesIn} bytes in, ${bytesOut} out${serial === undefined ? '' : `, serial ${serial}`}`,
      ].join('\n'),
  );
  const rest = shown.total - shown.connections.length;
  const end = rest > 0 ? `${rest} more` : `${shown.total} in all`;
  await cli.out(`${[...lines, end].join('\n')}\n`);
}
