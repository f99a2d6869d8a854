import { Command, CommanderError } from 'commander';
import type { Cli } from './cli.ts';
import { failureOf, reportFailure } from './report-error.ts';
import { usageFailure } from './usage-failure.ts';
import { ExitWith } from './verb.ts';
import { groupSummaries, type VerbRow, verbTable } from './verb-table.ts';
import { versionNumber } from './version.ts';

/**
 * Runs one command line.
 *
 * @param typed the arguments after the program's name
 * @returns the exit code: 0 done, 1 the answer is no, 2 usage or configuration, 3 could not find out
 */
export async function runProgram(typed: readonly string[], cli: Cli): Promise<number> {
  const words = typed[0] === 'help' ? [...typed.slice(1), '--help'] : typed;
  const program = createProgram(cli);
  if (words.length === 0) {
    cli.err(await helpText(program, cli));
    return 2;
  }
  try {
    // 1. only the verb that is asked for is loaded; the others stand in the help with their summaries
    const row = rowOf(words);
    if (!words.includes('--help') && !words.includes('-h')) row?.begin?.();
    for (const other of verbTable) await addVerb(program, other, cli, other === row);
    // 2. parse and act
    await program.parseAsync([...words], { from: 'user' });
    return 0;
  } catch (thrown) {
    if (thrown instanceof ExitWith) return thrown.exitCode;
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    // 3. one failure, in the one shape
    const failure =
      thrown instanceof CommanderError ? usageFailure(thrown, program, words) : failureOf(thrown);
    reportFailure(cli, failure, wantsJson(words));
    return failure.exit;
  }
}

/** The whole command tree with every verb loaded: for completion, and for tests of the help. */
export async function fullProgram(cli: Cli): Promise<Command> {
  const program = createProgram(cli);
  for (const row of verbTable) await addVerb(program, row, cli, true);
  return program;
}

function createProgram(cli: Cli): Command {
  const program = prepare(new Command('countersign'), cli);
  return program
    .description(
      'Short-lived identities for every service, and only the right ones may talk.\n' +
        'Exit codes: 0 done, 1 the answer is no, 2 usage or configuration error, 3 could not find out.',
    )
    .version(`countersign ${versionNumber()}`, '-V, --version', 'print the version')
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExamples:\n  countersign demo\n  countersign inspect https://example.com\n' +
        '  countersign explain ERR_USAGE\n\n`countersign VERB --help` says the rest of each.',
    );
}

async function addVerb(program: Command, row: VerbRow, cli: Cli, loaded: boolean): Promise<void> {
  const command = prepare(new Command(lastWord(row.name)), cli).description(row.summary);
  if (loaded) (await row.load()).define(command, cli);
  parentOf(program, row, cli).addCommand(command);
}

function parentOf(program: Command, row: VerbRow, cli: Cli): Command {
  const [first, second] = row.name.split(' ');
  if (first === undefined || second === undefined) return program;
  const existing = program.commands.find((command) => command.name() === first);
  if (existing !== undefined) return existing;
  const group = prepare(new Command(first), cli).description(groupSummaries[first] ?? first);
  group.helpCommand(false);
  program.addCommand(group);
  return group;
}

/** Throws instead of exiting, and keeps commander's own error text off the streams: one place reports. */
function prepare(command: Command, cli: Cli): Command {
  return command
    .exitOverride()
    .showSuggestionAfterError(false)
    .helpOption('-h, --help', 'print this help')
    .configureOutput({
      writeOut: (text) => void cli.out(text),
      writeErr: () => {},
      outputError: () => {},
      getOutHasColors: () => cli.outStyle.coloured,
      getErrHasColors: () => cli.errStyle.coloured,
    });
}

async function helpText(program: Command, cli: Cli): Promise<string> {
  for (const row of verbTable) await addVerb(program, row, cli, false);
  return program.helpInformation();
}

function rowOf(words: readonly string[]): VerbRow | undefined {
  const [first, second] = words.filter((word) => !word.startsWith('-'));
  // A verb of two words before one that is its first word alone: "router explain" before "router".
  const longer = verbTable.find((row) => row.name === `${first} ${second}`);
  return longer ?? verbTable.find((row) => row.name === first);
}

function lastWord(name: string): string {
  return name.split(' ').at(-1) ?? name;
}

function wantsJson(words: readonly string[]): boolean {
  return words.some(
    (word, i) =>
      word === '-ojson' ||
      word === '--output=json' ||
      ((word === '-o' || word === '--output') && words[i + 1] === 'json'),
  );
}
