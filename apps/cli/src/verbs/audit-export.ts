import { CountersignError } from '@countersign/base';
import { exportAudit } from '@countersign/ca';
import { InvalidArgumentError } from 'commander';
import type { Cli } from '../cli.ts';
import { type LedgerOptions, withLedger } from '../state/with-ledger.ts';
import type { Verb } from '../verb.ts';

interface AuditExportOptions extends LedgerOptions {
  readonly after: number;
}

/** `countersign audit export`: the audit trail as JSON lines on standard output. */
export const auditExportVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', "the authority's data directory, made by init")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
      .option('--after <row>', 'begin behind this row: the last `seq` that you have', rowOf, 0)
      .addHelpText('after', help)
      .action((options: AuditExportOptions) => run(cli, options));
  },
};

const help = `
Each line is one decision: seq, at, what, who asked (by) and from where, the provisioner, what was decided and why.

Example:
  countersign audit export --data state > audit.jsonl
  countersign audit export --data state --after 1042 >> audit.jsonl`;

async function run(cli: Cli, options: AuditExportOptions): Promise<void> {
  await withLedger(cli, options, async function printAll(ledger) {
    const { audit } = await ledger.status();
    if (options.after > audit.seq) {
      const sides = `${options.after}, the newest row is ${audit.seq}`;
      throw new CountersignError('ERR_USAGE', `export the audit trail after row ${sides}`);
    }
    for await (const lines of exportAudit(ledger, options.after)) await cli.out(lines);
  });
}

function rowOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a row is a whole number');
}
