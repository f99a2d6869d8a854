import {
  type CodeRow,
  CountersignError,
  codeFamilies,
  codeTable,
  isErrorCode,
  nearestWord,
} from '@countersign/base';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import type { Verb } from '../verb.ts';

/** `countersign explain [CODE]`: the code table, offline. */
export const explainVerb: Verb = {
  define(command, cli) {
    command
      .argument('[code]', 'an error code, such as ERR_USAGE; without it, every code is listed')
      .addOption(outputOption())
      .addHelpText('after', '\nExample:\n  countersign explain ERR_DURATION')
      .action(async (code: string | undefined, options: { output: string }) => {
        const json = options.output === 'json';
        if (code === undefined) await listCodes(cli, json);
        else await explainCode(cli, code, json);
      });
  },
};

async function explainCode(cli: Cli, written: string, json: boolean): Promise<void> {
  const code = written.trim().toUpperCase();
  if (!isErrorCode(code)) {
    const nearest = nearestWord(code, Object.keys(codeTable));
    const also = nearest === undefined ? '' : `, nearest is "${nearest}"`;
    throw new CountersignError(
      'ERR_CLI_CODE_UNKNOWN',
      `explain "${written}": no such code${also}`,
      {
        hint:
          nearest === undefined
            ? 'run `countersign explain`'
            : `run \`countersign explain ${nearest}\``,
      },
    );
  }
  const row: CodeRow = codeTable[code];
  if (json) {
    await cli.out(`${JSON.stringify({ code, family: familyOf(code), ...row }, null, 2)}\n`);
    return;
  }
  const { bold } = cli.outStyle;
  await cli.out(
    `${bold(code)} (${familyOf(code)})\n\n${row.meaning}\n\nhint: ${row.hint}\nexit code: ${row.exit} (${exitWords[row.exit]})\n`,
  );
}

async function listCodes(cli: Cli, json: boolean): Promise<void> {
  const families = Object.entries(codeFamilies).map(([family, rows]) => ({
    family,
    codes: Object.entries<CodeRow>(rows),
  }));
  if (json) {
    const list = families.flatMap(({ family, codes }) =>
      codes.map(([code, row]) => ({ code, family, ...row })),
    );
    await cli.out(`${JSON.stringify(list, null, 2)}\n`);
    return;
  }
  const { bold } = cli.outStyle;
  for (const { family, codes } of families) {
    if (codes.length === 0) continue;
    const width = Math.max(...codes.map(([code]) => code.length));
    const lines = codes.map(([code, row]) => `  ${code.padEnd(width)}  ${row.meaning}\n`);
    await cli.out(`${bold(family)}\n${lines.join('')}`);
  }
}

function familyOf(code: string): string {
  const found = Object.entries(codeFamilies).find(([, rows]) => Object.hasOwn(rows, code));
  return found?.[0] ?? '';
}

const exitWords = {
  1: 'the answer is no',
  2: 'usage or configuration error',
  3: 'could not find out',
} as const;
