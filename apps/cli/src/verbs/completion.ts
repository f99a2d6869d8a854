import { Argument, type Command } from 'commander';
import type { Verb } from '../verb.ts';

/** `countersign completion SHELL`: a script whose words come from the commands themselves, so it cannot go stale. */
export const completionVerb: Verb = {
  define(command, cli) {
    command
      .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
      .addHelpText(
        'after',
        '\nExample:\n  source <(countersign completion bash)\n  countersign completion fish | source',
      )
      .action(async (shell: string) => {
        const { fullProgram } = await import('../program.ts');
        const nodes = nodesOf(await fullProgram(cli), []);
        await cli.out(scripts[shell]?.(nodes) ?? '');
      });
  },
};

/** One command of the tree: its words so far, and what may follow them. */
interface Node {
  readonly path: readonly string[];
  readonly summary: string;
  readonly verbs: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly {
    readonly long: string;
    readonly summary: string;
    /** What may follow it, where that is a few words. */
    readonly choices: readonly string[];
  }[];
}

function nodesOf(command: Command, path: readonly string[]): Node[] {
  const options = command.options
    .filter((option) => !option.hidden && option.long !== undefined)
    .map(({ long, description, argChoices }) => ({
      long: long ?? '',
      summary: description,
      choices: argChoices ?? [],
    }));
  const node: Node = {
    path,
    summary: command.description(),
    verbs: command.commands.map((sub) => ({ name: sub.name(), summary: sub.description() })),
    options: [...options, { long: '--help', summary: 'print this help', choices: [] }],
  };
  return [node, ...command.commands.flatMap((sub) => nodesOf(sub, [...path, sub.name()]))];
}

const scripts: Readonly<Record<string, (nodes: readonly Node[]) => string>> = {
  bash: bashScript,
  zsh: (nodes) => `autoload -U +X bashcompinit && bashcompinit\n${bashScript(nodes)}`,
  fish: fishScript,
};

function bashScript(nodes: readonly Node[]): string {
  const cases = nodes.map(
    ({ path, verbs, options }) =>
      `    '${path.join(' ')}') words='${[...verbs.map((verb) => verb.name), ...options.map((option) => option.long)].join(' ')}' ;;`,
  );
  const values = nodes.flatMap(({ path, options }) =>
    options
      .filter(({ choices }) => choices.length > 0)
      .map(
        ({ long, choices }) =>
          `    '${[...path, long].join(' ')}') words='${choices.join(' ')}' ;;`,
      ),
  );
  const paths = nodes.map(({ path }) => `'${path.join(' ')}'`).join('|');
  return `_countersign() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' longer words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    longer="\${path:+$path }\${COMP_WORDS[i]}"
    case "$longer" in
      ${paths}) path="$longer" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  case "$path \${COMP_WORDS[COMP_CWORD-1]}" in
${values.join('\n')}
  esac
  COMPREPLY=()
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$current")
}
complete -o bashdefault -o default -F _countersign countersign
`;
}

function fishScript(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, verbs, options }) => {
    const here = `-n '${fishCondition(path, verbs)}'`;
    return [
      ...verbs.map(
        ({ name, summary }) =>
          `complete -c countersign -f ${here} -a ${name} -d '${quote(summary)}'`,
      ),
      ...options.map(({ long, summary, choices }) => {
        const values = choices.length > 0 ? ` -x -a '${choices.join(' ')}'` : '';
        return `complete -c countersign ${here} -l ${long.slice(2)}${values} -d '${quote(summary)}'`;
      }),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function fishCondition(path: readonly string[], verbs: Node['verbs']): string {
  if (path.length === 0) return '__fish_use_subcommand';
  const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const notYet = verbs.map(({ name }) => `not __fish_seen_subcommand_from ${name}`);
  return [...seen, ...notYet].join('; and ');
}

function quote(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}
