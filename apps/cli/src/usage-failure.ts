import { codeTable, nearestWord } from '@countersign/base';
import type { Command, CommanderError } from 'commander';
import type { Failure } from './report-error.ts';

/** A wrong command line in our one shape, with the nearest word where a name is unknown. Exit code 2. */
export function usageFailure(
  error: CommanderError,
  program: Command,
  words: readonly string[],
): Failure {
  const command = commandOf(program, words);
  const path = pathOf(command);
  return {
    code: 'ERR_USAGE',
    message: `${path}: ${reasonOf(error, command)}`,
    hint: `run \`${path} --help\``,
    exit: codeTable.ERR_USAGE.exit,
  };
}

function reasonOf(error: CommanderError, command: Command): string {
  // Commander ends a sentence and begins another; a reason here is one fragment.
  const plain = error.message
    .replace(/^error: /, '')
    .replaceAll("'", '"')
    .replace(/\.$/, '')
    .replace(/\. (Allowed|Expected)/, (_, word: string) => `; ${word.toLowerCase()}`);
  const quoted = /"([^"]*)"/.exec(plain)?.[1];
  if (error.code === 'commander.unknownCommand' && quoted !== undefined) {
    return `${plain}${nearest(
      quoted,
      command.commands.map((sub) => sub.name()),
    )}`;
  }
  if (error.code === 'commander.unknownOption' && quoted !== undefined) {
    const flags = command.options.map((option) => option.long ?? option.flags);
    return `${plain}${nearest(quoted, [...flags, '--help'])}`;
  }
  // A group without a verb prints commander's help as its error; its text is not a reason.
  if (error.code === 'commander.help') {
    return `a verb is missing, one of ${command.commands.map((sub) => `"${sub.name()}"`).join(', ')}`;
  }
  return plain;
}

function nearest(word: string, candidates: readonly string[]): string {
  const found = nearestWord(word, candidates);
  return found === undefined ? '' : `, nearest is "${found}"`;
}

function commandOf(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((sub) => sub.name() === word);
    if (next !== undefined) command = next;
    else if (!word.startsWith('-')) break;
  }
  return command;
}

function pathOf(command: Command): string {
  const parent = command.parent;
  return parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`;
}
