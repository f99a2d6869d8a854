// Small files, shallow folders, no drawers: what grows past a limit holds more than one idea.
import { readWorkspaceFile, report, workspaceFiles } from './workspace.ts';

const maxLines = 450;
const maxColumns = 140;
/** Folders below a room's root: packages/x509/src/path is two. */
const maxDepth = 4;
const drawers = /(?:^|[/-])(?:utils?|common|helpers?|core|manager|misc|shared)(?:[/.-]|$)/;

const findings: string[] = [];
const files = workspaceFiles('*.ts').filter(
  (file) => !file.endsWith('.d.ts') && !file.includes('/generated/'),
);
for (const file of files) {
  const lines = readWorkspaceFile(file).split('\n');
  if (lines.length - 1 > maxLines)
    findings.push(`${file}: ${lines.length - 1} lines, at most ${maxLines}`);
  const depth = file.split('/').length - 3;
  if (depth > maxDepth)
    findings.push(`${file}: ${depth} folders deep in its room, at most ${maxDepth}`);
  if (drawers.test(file)) findings.push(`${file}: a name that says nothing of what it holds`);
  if (!/^(?:[a-z0-9-]+\/)*[a-z0-9-]+(?:\.[a-z]+)*\.ts$/.test(file))
    findings.push(`${file}: file names are kebab-case`);
  const long = lines.findIndex((line) => line.length > maxColumns);
  if (long >= 0)
    findings.push(`${file}:${long + 1}: ${lines[long]?.length} columns, at most ${maxColumns}`);
}
report('sizes', findings, `${files.length} files of at most ${maxLines} lines`);
