import { parseAuthzTable, type TableRow, TableTrial } from '@countersign/authz';
import { CountersignError, counted } from '@countersign/base';
import {
  type AuthzOptions,
  addAuthzOptions,
  readAuthzOptions,
  readText,
} from '../authz-options.ts';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface Options extends AuthzOptions {
  readonly output: string;
}

/** `countersign authz test`: runs a table of expectations against policies, as Istio's own proxies would answer it. */
export const authzTestVerb: Verb = {
  define(command, cli) {
    addAuthzOptions(command)
      .argument('[table]', 'a list of {name, workload, request, expect: ALLOW or DENY}')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((table: string | undefined, options: Options) => testTable(cli, table, options));
  },
};

const help = `
A row:
  - name: the web may read orders
    workload: { namespace: prod, labels: { app: orders }, ports: { "8080": http } }
    request: { principal: cluster.local/ns/prod/sa/web, port: 8080, method: GET, path: /orders }
    expect: ALLOW

What is absent is absent: without principal the caller speaks plaintext, without method it is a raw TCP connection.
Exits 1 where a row differs, and names those that do.

Example:
  countersign authz test --policy policies.yaml --mesh mesh.yaml table.yaml`;

interface Tried extends Pick<TableRow, 'name' | 'expect'> {
  readonly got: TableRow['expect'];
  readonly reason: string;
}

async function testTable(cli: Cli, table: string | undefined, options: Options): Promise<void> {
  const named = tableOf(table, options);
  const { policies, mesh } = await readAuthzOptions(cli, 'authz test', named);
  const rows = parseAuthzTable(await readText(cli, named.table, 'authz test'), named.table);
  const trial = new TableTrial(policies, mesh);
  const tried: Tried[] = rows.map((row) => {
    const { got, reason } = trial.try(row);
    return { name: row.name, expect: row.expect, got, reason };
  });
  const differing = tried.filter(({ expect, got }) => expect !== got);
  if (options.output === 'json') await cli.out(`${JSON.stringify(tried, null, 2)}\n`);
  else await print(cli, tried, differing);
  if (differing.length > 0) throw new ExitWith(1);
}

/** `--policy a.yaml table.yaml`: an option that takes several files takes the last as well, where it is no table's. */
function tableOf(table: string | undefined, options: Options): Options & { table: string } {
  if (table !== undefined) return { ...options, table };
  const { policy = [] } = options;
  const last = policy.at(-1);
  if (policy.length < 2 || last === undefined) {
    throw new CountersignError('ERR_USAGE', 'authz test: the table is missing');
  }
  return { ...options, policy: policy.slice(0, -1), table: last };
}

async function print(
  cli: Cli,
  tried: readonly Tried[],
  differing: readonly Tried[],
): Promise<void> {
  const { green, red } = cli.outStyle;
  for (const { name, expect, got, reason } of differing) {
    await cli.out(`${red('differs')} ${name}: expected ${expect}, got ${got}: ${reason}\n`);
  }
  const rows = counted(tried.length, 'row');
  const verdict =
    differing.length === 0 ? green('ok') : red(`${differing.length} of ${rows} differ`);
  await cli.out(differing.length === 0 ? `${verdict} ${rows} as expected\n` : `${verdict}\n`);
}
