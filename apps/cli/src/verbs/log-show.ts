import { toHex } from '@countersign/base';
import { formatNoteKey } from '@countersign/wire';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { addLogOptions, type LogOptions } from '../log/log-options.ts';
import { entriesBackward, readEntry } from '../log/logged-certificate.ts';
import { headOf, openLog } from '../log/open-log.ts';
import { wholeNumber } from '../log/whole-number.ts';
import type { Verb } from '../verb.ts';

interface LogShowOptions extends LogOptions {
  readonly last: number;
}

const attempted = 'log show';

/** `countersign log show`: whose log it is, its key and newest checkpoint, and the newest entries. */
export const logShowVerb: Verb = {
  define(command, cli) {
    addLogOptions(command)
      .addOption(
        new Option('--last <n>', 'so many of the newest entries as well')
          .argParser(wholeNumber)
          .default(0),
      )
      .addHelpText('after', help)
      .action((options: LogShowOptions) => show(cli, options));
  },
};

const help = `
The key is what others verify checkpoints with: hand it on by a way that nobody else can write to.

Example:
  countersign log show --data state --last 5
  countersign log show --ca https://127.0.0.1:8440 --identity payments`;

async function show(cli: Cli, options: LogShowOptions): Promise<void> {
  const log = await openLog(cli, options, attempted);
  const head = await headOf(log, attempted);
  const entries: ReturnType<typeof readEntry>[] = [];
  if (options.last > 0) {
    for await (const { index, entry } of entriesBackward(log.source, head.size)) {
      entries.push(readEntry(index, entry));
      if (entries.length >= options.last) break;
    }
  }
  const key = formatNoteKey(log.key);
  const root = toHex(head.root);
  if (options.output === 'json') {
    const { origin, size, note } = head;
    const facts = { origin, key, size, root, checkpoint: note, entries };
    await cli.out(`${JSON.stringify(facts, null, 2)}\n`);
    return;
  }
  const lines = entries.map((entry) =>
    'malformed' in entry
      ? `${entry.index}  no certificate: ${entry.malformed}`
      : `${entry.index}  ${entry.serial}  until ${entry.notAfter}  ${entry.names.join(', ')}`,
  );
  await cli.out(
    [
      `log      ${head.origin}`,
      `key      ${key}`,
      `entries  ${head.size}`,
      `root     ${root}`,
      ...lines,
      '',
    ].join('\n'),
  );
}
