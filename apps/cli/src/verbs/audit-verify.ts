import { CountersignError, counted } from '@countersign/base';
import { type AuditHead, signedLog, verifyAudit } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { type LedgerOptions, withLedger } from '../state/with-ledger.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface AuditVerifyOptions extends LedgerOptions {
  readonly expect?: string;
  readonly output: string;
}

/** `countersign audit verify`: every row of the trail and every record beside it, from the first to the newest. */
export const auditVerifyVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', "the authority's data directory, made by init")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
      .option('--expect <row:hash>', 'a row that an earlier run named: it must still be there')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: AuditVerifyOptions) => verify(cli, options));
  },
};

const help = `
Exits 1 where a row, a record, a counter, a document or what is beside the records (spent tokens, outcomes, the
archive) was changed, is missing or was slipped in, and names each; also where the issuance log in the data directory
was signed for certificates that the ledger lacks. Whoever can write to the database can also write the trail anew
from some row on, or cut it: note the row and hash that this prints somewhere else, and give it as --expect the next
time.

Example:
  countersign audit verify --data state
  countersign audit verify --data state --expect 1042:9f86d081…`;

async function verify(cli: Cli, options: AuditVerifyOptions): Promise<void> {
  const expect = options.expect === undefined ? undefined : headOf(options.expect);
  const signed = await signedLog(options.data);
  const verdict = await withLedger(cli, options, (ledger) =>
    verifyAudit(ledger, { expect, signed }),
  );
  const { findings, head, rows, records, unmarked } = verdict;
  const ok = findings.length === 0;
  if (options.output === 'json') {
    await cli.out(`${JSON.stringify({ ok, ...verdict }, null, 2)}\n`);
  } else {
    const sound = `sound: ${counted(rows, 'row')}, ${counted(records, 'ledger record')}, newest row ${head.seq}:${head.hash}\n`;
    const unvouched = unmarked
      .map(
        (name) => `document "${name}": not vouched for, it is older than its hash in the trail\n`,
      )
      .join('');
    const broken = findings.map((finding) => `${finding} (ERR_AUDIT_BROKEN)\n`).join('');
    await cli.out(ok ? `${sound}${unvouched}` : broken);
  }
  if (!ok) throw new ExitWith(1);
}

function headOf(text: string): AuditHead {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
  throw new CountersignError(
    'ERR_USAGE',
    `--expect "${text.slice(0, 100)}" is not a row's number, a colon and its hash`,
    { hint: 'copy it from the end of what an earlier `countersign audit verify` printed' },
  );
}
