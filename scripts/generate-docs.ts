// Writes docs/errors.md from the code table; with --check it only says whether the file is what it would write.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeFamilies } from '@countersign/base';
import { readWorkspaceFile, report, root, workspaceFiles } from './workspace.ts';

const path = 'docs/errors.md';
const written = errorsDocument();
if (process.argv.includes('--check')) {
  const findings = [...staleness(), ...unusedCodes()];
  report('docs', findings, `${path} is what the code table says, and every code is used`);
} else {
  writeFileSync(join(root, path), written);
  console.log(`${path} written`);
}

function errorsDocument(): string {
  const parts = [
    '# Error codes',
    '',
    'Generated from the code table by `npm run docs`; `countersign explain CODE` says the same offline.',
    'The exit code of a command that ends with it: 1 the answer is no, 2 usage or configuration, 3 could not find out.',
    'A file of the command line that cannot be read as what it is to be ends it with 2 whatever the code, but for what',
    '`verify` judges: a certificate that cannot be read is not valid.',
  ];
  for (const [family, rows] of Object.entries(codeFamilies)) {
    if (Object.keys(rows).length === 0) continue;
    parts.push('', `## ${family}`);
    for (const [code, row] of Object.entries(rows)) {
      parts.push('', `### ${code}`, '', row.meaning, '', `Exit ${row.exit}. To do: ${row.hint}.`);
    }
  }
  return `${parts.join('\n')}\n`;
}

function staleness(): string[] {
  const files = workspaceFiles(path);
  if (files.length === 0) return [`${path}: missing; run npm run docs`];
  return readWorkspaceFile(path) === written
    ? []
    : [`${path}: not what the code table says; run npm run docs`];
}

/** A code that nothing gives is a promise that nobody keeps. */
function unusedCodes(): string[] {
  const sources = workspaceFiles('packages/*/src/**/*.ts', 'apps/*/src/**/*.ts', 'apps/*/bin/*.js')
    .filter(
      (file) => !file.startsWith('packages/base/src/codes/') && !/\.(test|suite)\.ts$/.test(file),
    )
    .map(readWorkspaceFile)
    .join('\n');
  const codes = Object.values(codeFamilies).flatMap((rows) => Object.keys(rows));
  return codes
    .filter((code) => !sources.includes(code))
    .map((code) => `${code}: in the code table, but nothing gives it`);
}
