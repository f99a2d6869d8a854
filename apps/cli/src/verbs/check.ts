import { CountersignError, codeTable, type ErrorCode } from '@countersign/base';
import { ConfigError, formatIssue } from '@countersign/config';
import type { Cli } from '../cli.ts';
import { configKindOf } from '../config-kinds.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { failureOf } from '../report-error.ts';
import { ExitWith, type Verb } from '../verb.ts';

/** What is wrong at one place; without a place it is the whole file. */
interface Finding {
  /** The one that is checked, or one that it names. */
  readonly file: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly path: string | null;
}

interface Checked {
  readonly file: string;
  readonly kind: string | null;
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
  readonly exit: 0 | 1 | 2 | 3;
}

/** `countersign check FILE…`: reads configuration files as the commands that use them do, and lists every finding. */
export const checkVerb: Verb = {
  define(command, cli) {
    command
      .argument(
        '<file...>',
        'ca.yaml, gateway.yaml or AuthorizationPolicy documents, told apart by content',
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action(async (files: string[], options: { output: string }) => {
        const checked: Checked[] = [];
        for (const file of files) checked.push(await checkFile(cli, file));
        const exit = Math.max(...checked.map((each) => each.exit)) as Checked['exit'];
        if (options.output === 'json') {
          const report = checked.map(({ exit: _, ...each }) => each);
          await cli.out(`${JSON.stringify({ ok: exit === 0, files: report }, null, 2)}\n`);
        } else {
          for (const each of checked) await printChecked(cli, each);
        }
        if (exit !== 0) throw new ExitWith(exit);
      });
  },
};

const help = `
Exits 0 when all files can be used, 1 when one has findings, 2 when one cannot be read at all.

Example:
  countersign check ca.yaml gateway.yaml policies.yaml`;

async function checkFile(cli: Cli, file: string): Promise<Checked> {
  let kind: string | null = null;
  try {
    const text = Buffer.from(await readInput(cli, file, 'check')).toString('utf8');
    const found = configKindOf(text, file);
    kind = found.name;
    const notes = await found.read(text, file, cli);
    return { file, kind, ok: true, findings: [], notes, exit: 0 };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return {
      file,
      kind,
      ok: false,
      findings: findingsOf(thrown, file),
      notes: [],
      exit: exitOf(thrown),
    };
  }
}

/** A finding is the answer no; what cannot be read, as a file or as YAML, is an error of whoever asked. */
function exitOf({ code, exit }: CountersignError): Checked['exit'] {
  if (code === 'ERR_CONFIG_SYNTAX' || code === 'ERR_FILE') return 2;
  return exit === 3 ? 3 : 1;
}

function findingsOf(thrown: CountersignError, file: string): Finding[] {
  if (!(thrown instanceof ConfigError)) {
    const { code, message, hint } = failureOf(thrown);
    return [{ file, code, message, hint, line: null, column: null, path: null }];
  }
  return thrown.issues.map((issue) => ({
    ...{ file: thrown.file, ...issue },
    hint: hintOf(issue.code),
  }));
}

function hintOf(code: ErrorCode): string {
  return codeTable[code].hint;
}

/** Findings as compilers write them, then the hint and the code of each kind once. */
async function printChecked(cli: Cli, checked: Checked): Promise<void> {
  const { file, kind, ok, findings, notes } = checked;
  if (ok) {
    const { green, yellow } = cli.outStyle;
    await cli.out(`${green('ok')} ${file}: ${kind}\n`);
    for (const note of notes) await cli.out(`${yellow('note')} ${file}: ${note}\n`);
    return;
  }
  const { red, dim } = cli.errStyle;
  for (const code of new Set(findings.map((finding) => finding.code))) {
    const same = findings.filter((finding) => finding.code === code);
    for (const finding of same) cli.err(`${red(lineOf(finding))}\n`);
    cli.err(`hint: ${same[0]?.hint ?? ''}\n${dim(code)}\n`);
  }
}

function lineOf({ file, message, line, column }: Finding): string {
  if (line === null || column === null) return message;
  return formatIssue(file, { code: 'ERR_CONFIG_VALUE', message, line, column, path: '' });
}
