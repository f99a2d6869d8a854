import { CountersignError } from '@countersign/base';
import { ConfigError, formatIssue } from '@countersign/config';
import { everyIssue } from '../check-every-finding.ts';
import { type Finding, findingsOf } from '../check-finding.ts';
import type { PolicySurroundings } from '../check-policies.ts';
import type { Cli } from '../cli.ts';
import { type ConfigKind, configKindOf } from '../config-kinds.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { ExitWith, type Verb } from '../verb.ts';

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
      .option('--mesh <file>', "MeshConfig, for policies; Istio's defaults without")
      .option(
        '--workloads <file>',
        'a list of all workloads; policies for none of them are told then',
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action(async (files: string[], options: PolicySurroundings & { output: string }) => {
        const checked: Checked[] = [];
        for (const file of files) checked.push(await checkFile(cli, file, options));
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
Exits 0 when all files can be used, 1 when one has findings, 2 when one cannot be read at all. Policies that can be used
and do not mean what they say are findings, too: each with the request that shows it.

Example:
  countersign check ca.yaml gateway.yaml policies.yaml`;

async function checkFile(cli: Cli, file: string, around: PolicySurroundings): Promise<Checked> {
  let kind: string | null = null;
  let read: { readonly text: string; readonly found: ConfigKind } | undefined;
  try {
    const text = Buffer.from(await readInput(cli, file, 'check')).toString('utf8');
    const found = configKindOf(text, file);
    read = { text, found };
    kind = found.name;
    if (found.check !== undefined) {
      const { findings, notes } = await found.check(text, file, cli, around);
      const ok = findings.length === 0;
      return { file, kind, ok, findings, notes, exit: ok ? 0 : 1 };
    }
    const notes = await found.read(text, file, cli);
    return { file, kind, ok: true, findings: [], notes, exit: 0 };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return {
      file,
      kind,
      ok: false,
      findings: await everyFinding(cli, file, thrown, read),
      notes: [],
      exit: exitOf(thrown),
    };
  }
}

async function everyFinding(
  cli: Cli,
  file: string,
  thrown: CountersignError,
  read: { readonly text: string; readonly found: ConfigKind } | undefined,
): Promise<readonly Finding[]> {
  if (read === undefined || read.found.check !== undefined || !(thrown instanceof ConfigError)) {
    return findingsOf(thrown, file);
  }
  const { text, found } = read;
  const issues = await everyIssue(text, file, thrown, (rest) => found.read(rest, file, cli));
  const [first = thrown.issues[0], ...more] = issues;
  return first === undefined
    ? []
    : findingsOf(new ConfigError(thrown.file, [first, ...more]), file);
}

/** A finding is the answer no; what cannot be read, as a file or as YAML, is an error of whoever asked. */
function exitOf({ code, exit }: CountersignError): Checked['exit'] {
  if (code === 'ERR_CONFIG_SYNTAX' || code === 'ERR_FILE') return 2;
  return exit === 3 ? 3 : 1;
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
  const { red, dim, yellow } = cli.errStyle;
  for (const note of notes) cli.err(`${yellow('note')} ${file}: ${note}\n`);
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
