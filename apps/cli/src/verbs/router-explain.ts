import { explainOperation, formatOperationExplanation } from '@countersign/router';
import { parseSpiffeId } from '@countersign/spiffe';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { readRouterFiles, routerReader } from '../serve/router-files.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface ExplainOptions {
  readonly config: string;
  readonly as?: string;
  readonly operationName?: string;
  readonly output: string;
}

/** `countersign router explain`: plan, identities and refusals of an operation, without running it. */
export const routerExplainVerb: Verb = {
  define(command, cli) {
    command
      .argument('<query>', 'the operation, @FILE or -')
      .requiredOption('--config <file>', 'router.yaml')
      .option('--as <spiffe-id>', 'the caller; a stranger unless given')
      .option('--operation-name <name>', 'which of several operations')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((query: string, options: ExplainOptions) => explain(cli, query, options));
  },
};

const help = `
Exits 1 where the operation would not run, or a field of it is refused.

Example:
  countersign router explain --config router.yaml --as spiffe://example.com/ns/prod/sa/web '{ me { name } }'`;

async function explain(cli: Cli, written: string, options: ExplainOptions): Promise<void> {
  const { as, operationName } = options;
  if (as !== undefined) parseSpiffeId(as);
  const source = written === '-' ? '-' : /^@(.+)$/s.exec(written)?.[1];
  const query =
    source === undefined
      ? written
      : Buffer.from(await readInput(cli, source, 'router explain')).toString('utf8');
  const config = await readRouterFiles(cli, options);
  const files = routerReader(cli);
  const explained = await explainOperation({ config, files, query, operationName, as });
  const isJson = options.output === 'json';
  await cli.out(
    isJson ? `${JSON.stringify(explained, null, 2)}\n` : formatOperationExplanation(explained),
  );
  if (!explained.ok || explained.refused.length > 0) throw new ExitWith(1);
}
